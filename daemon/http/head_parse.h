// The grammar of heads that head_scan.h found whole. The only user of Beast's parser.
#ifndef KLOG_DAEMON_HTTP_HEAD_PARSE_H
#define KLOG_DAEMON_HTTP_HEAD_PARSE_H

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "klog/result.h"

namespace klog::http {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct ParsedHead {
    std::string method;  // of a request
    std::string target;  // of a request
    int status = 0;      // of a response
    bool http_1_0 = false;
    Fields fields;  // in order, names in lower case
};

// head: from the start line up to and including the empty line. Errors: bad_request.
[[nodiscard]] Result<ParsedHead> parse_request_head(std::string_view head);
[[nodiscard]] Result<ParsedHead> parse_response_head(std::string_view head);

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_HEAD_PARSE_H
