#include "cli/advice.h"

#include <sys/stat.h>

#include "cli/output.h"
#include "cli/request.h"

namespace klog::cli {
namespace {

bool has_wildcard(const std::string& filter) {
    return filter.find_first_of("*>+#") != std::string::npos || filter.ends_with('/');
}

bool is_file(const std::string& path) {
    struct stat status = {};
    return ::lstat(path.c_str(), &status) == 0;
}

// Is there any topic that matches? Reads no more than the first bytes: there may be a million.
bool any_topic(const Context& context, const std::string& filter) {
    Target target("/v1/topics");
    target.add("filter", filter);
    auto client = dial(context);
    if (!client || !(*client)->send(make_request(context, "GET", target.text()))) return false;
    const auto head = (*client)->read_head(kAnswerWait);
    if (!head || head->status != 200) return false;
    const auto body = (*client)->read_body(1U << 12U, kAnswerWait);
    return body && !body->empty();
}

}  // namespace

void advise_quotes(const std::vector<std::string>& filters) {
    if (filters.size() < 2) return;
    for (const std::string& filter : filters) {
        if (has_wildcard(filter) || !is_file(filter)) continue;
        write_error_stream("hint: \"" + filter +
                           "\" is a file here: put a filter with * in quotes, or write + for *\n");
        return;
    }
}

void advise_literal(const Context& context, std::string_view verb,
                    const std::vector<std::string>& filters) {
    for (const std::string& filter : filters) {
        if (has_wildcard(filter) || any_topic(context, filter)) continue;
        if (!any_topic(context, filter + "/>")) continue;
        write_error_stream("hint: no topic is named " + filter +
                           ", but there are topics below it: klog " + std::string(verb) + " " +
                           filter + "/\n");
    }
}

}  // namespace klog::cli
