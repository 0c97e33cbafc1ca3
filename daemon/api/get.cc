// One entity's record, and the newest seq.
#include <array>

#include "daemon/api/context.h"
#include "daemon/api/params.h"
#include "daemon/api/violations.h"
#include "daemon/json/record_json.h"

namespace klog::api {
namespace {

constexpr std::array kGetParams = {ParamSpec{"version"}};
constexpr std::array kHeadParams = {ParamSpec{"filter"}};

struct Found {
    std::optional<Error> error;
    EntityHead head;
    std::string text;
    std::uint64_t version = 0;
};

// Reads the disk.
Found find_record(Log& log, const std::string& space, const std::string& key,
                  std::optional<std::uint64_t> version) {
    Found found;
    const Result<EntityHead> head = log.entity(space, key);
    if (!head) {
        found.error = head.error();
        return found;
    }
    found.head = *head;
    if (head->state == EntityState::absent) {
        found.error = Error{Code::not_found, "there never was such a key", {}};
        return found;
    }
    if (!version && head->state == EntityState::deleted) {
        found.error = Error{Code::not_found, "the key is deleted", "ask for a version of it"};
        return found;
    }
    const Version wanted{version.value_or(head->version.value)};
    const Result<OwnedRecord> record = log.get(space, key, wanted);
    if (!record) {
        found.error = record.error();
        return found;
    }
    json::append_record(found.text, record->view);
    found.version = record->view.version.value;
    return found;
}

void answer_found(const ExchangePtr& exchange, Found found) {
    if (!found.error) {
        http::Response response;
        response.body = std::move(found.text);
        response.headers.emplace_back("ETag", "\"v" + std::to_string(found.version) + "\"");
        return exchange->respond(std::move(response));
    }
    std::string extra;
    if (found.error->code == Code::not_found || found.error->code == Code::compacted) {
        extra = R"("state":")";
        extra += state_name(found.head.state);
        extra.push_back('"');
        if (found.head.state != EntityState::absent) {
            extra += ",\"version\":" + std::to_string(found.head.version.value);
        }
    }
    answer_error(exchange, *found.error, extra);
}

void answer_seq(const ExchangePtr& exchange, Seq seq) {
    answer_json(exchange, 200, "{\"seq\":" + std::to_string(seq.value) + "}\n");
}

}  // namespace

void handle_get(const Context& context, const ExchangePtr& exchange) {
    const Result<Params> params = Params::parse(exchange->request(), kGetParams);
    if (!params) return answer_error(exchange, params.error());
    const auto version = params->number("version");
    if (!version) return answer_error(exchange, version.error());
    auto found = std::make_shared<Found>();
    exchange->run_blocking(
        [&context, exchange, found, version = *version] {
            const auto& segments = exchange->request().segments;
            *found = find_record(context.log, segments[2], segments[4], version);
        },
        [exchange, found] { answer_found(exchange, std::move(*found)); });
}

void handle_head(const Context& context, const ExchangePtr& exchange) {
    const Result<Params> params = Params::parse(exchange->request(), kHeadParams);
    if (!params) return answer_error(exchange, params.error());
    const auto filter = params->text("filter");
    if (!filter) return answer_seq(exchange, context.log.head());
    auto head = std::make_shared<std::optional<Result<Seq>>>();
    exchange->run_blocking(
        [&context, head, filter = std::string(*filter)] {
            head->emplace(context.log.head(filter));
        },
        [exchange, head] {
            if (!**head) return answer_error(exchange, (*head)->error());
            answer_seq(exchange, ***head);
        });
}

}  // namespace klog::api
