#include "cli/request.h"

#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/violations.h"

namespace klog::cli {
namespace {

constexpr int kExitNotKlog = 78;

// interface.md, section 4: for codes that this client does not know.
int exit_of_status(int status) {
    switch (status) {
        case 400:
            return 65;
        case 401:
        case 403:
            return 77;
        case 404:
            return kExitNotKlog;
        case 408:
            return 124;
        case 409:
        case 410:
        case 412:
            return 4;
        case 413:
        case 422:
            return 65;
        case 429:
        case 503:
        case 507:
            return 75;
        case 504:
            return 76;
        default:
            break;
    }
    return status >= 500 ? 70 : 2;
}

bool is_object(std::string_view document) {
    const std::size_t first = document.find_first_not_of(" \t\r\n");
    return first != std::string_view::npos && document[first] == '{';
}

std::string first_text(std::string_view document, std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) {
        std::string text = text_member(document, name);
        if (!text.empty()) return text;
    }
    return {};
}

}  // namespace

Target& Target::segment(std::string_view text) {
    text_ += "/" + http::encode_component(text);
    return *this;
}

Target& Target::add(std::string_view name, std::string_view value) {
    text_ += query_ ? "&" : "?";
    query_ = true;
    text_.append(name);
    text_ += "=" + http::encode_component(value);
    return *this;
}

Target& Target::add_given(std::string_view name, std::string_view value) {
    return value.empty() ? *this : add(name, value);
}

Problem read_problem(int status, std::string_view document) {
    Problem problem;
    problem.code = is_object(document) ? text_member(document, "code") : "";
    if (problem.code.empty()) {
        problem.code = code_name(Code::not_klog);
        problem.message = "the answer was status " + std::to_string(status) +
                          " without a code, so this is no klog server";
        problem.hint = "look at --url and KLOG_URL";
        problem.exit = kExitNotKlog;
        return problem;
    }
    problem.message = first_text(document, {"detail", "message"});
    problem.hint = first_text(document, {"hint"});
    if (const auto violations = read_violations(document); !violations.empty()) {
        const ViolationText& first = violations.front();
        if (!first.message.empty()) problem.message = first.message;
        if (!first.hint.empty()) problem.hint = first.hint;
    }
    if (problem.message.empty()) problem.message = first_text(document, {"title"});
    // The framed form of an answer has no room for one.
    if (problem.hint.empty() && problem.code == code_name(Code::corrupt)) {
        problem.hint = "klog verify says what is damaged; reads before and behind it go on";
    }
    const auto known = code_from_name(problem.code);
    problem.exit = known ? code_info(*known).exit_code : exit_of_status(status);
    if (problem.message.empty()) {
        problem.message = known ? std::string(code_info(*known).title)
                                : "refused with status " + std::to_string(status);
    }
    return problem;
}

int report(const Problem& problem) {
    complain(problem.code, problem.message, problem.hint);
    return problem.exit;
}

http::ClientRequest make_request(const Context& context, std::string method, std::string target) {
    http::ClientRequest request;
    request.method = std::move(method);
    request.target = std::move(target);
    if (!context.setting("tenant").empty()) {
        request.headers.emplace_back("Klog-Tenant", context.setting("tenant"));
    }
    return request;
}

Result<std::unique_ptr<http::Client>> dial(const Context& context) {
    const std::string url = context.url();
    auto client = http::Client::connect(url, context.timeout().value_or(kConnectWait));
    if (client) return client;
    Error error = std::move(client).error();
    if (error.code == Code::timeout) error.code = Code::unreachable;
    if (error.code == Code::unreachable) {
        error.message = "no daemon answers at " + url;
        error.hint = "klog daemon";
    }
    return error;
}

Result<Answer> ask(const Context& context, const http::ClientRequest& request) {
    KLOG_TRY_ASSIGN(const auto client, dial(context));
    const auto limit = context.timeout().value_or(kAnswerWait);
    const Status sent = client->send(request);
    if (!sent && sent.error().code != Code::outcome_unknown) return sent.error();
    // A daemon that takes no more of a body may have said why before it closed the connection.
    auto answered = client->read_head(limit);
    if (!answered) return sent ? std::move(answered).error() : sent.error();
    const http::ClientResponse head = *std::move(answered);
    Answer answer;
    answer.status = head.status;
    answer.content_type = head.content_type;
    KLOG_TRY_ASSIGN(answer.body, client->read_all(kAnswerBytesMax, limit));
    return answer;
}

Error read_error(Error error) {
    if (error.code != Code::outcome_unknown) return error;
    error.code = Code::unreachable;
    error.hint = "klog daemon";
    return error;
}

Result<Answer> ask(const Context& context, const Target& target) {
    auto answer = ask(context, make_request(context, "GET", target.text()));
    if (!answer) return read_error(std::move(answer).error());
    return answer;
}

}  // namespace klog::cli
