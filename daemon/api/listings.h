// Listings of any length, a page at a time.
#ifndef KLOG_DAEMON_API_LISTINGS_H
#define KLOG_DAEMON_API_LISTINGS_H

#include <cstddef>
#include <functional>
#include <string>

#include "daemon/api/context.h"
#include "daemon/api/params.h"

namespace klog::api {

inline constexpr std::size_t kPageRows = 1000;

// Some rows, rendered.
struct Lines {
    std::string text;
    std::size_t rows = 0;
    std::string last;  // the name in the last row: the next page begins behind it
    bool more = false;
};
// Called where it may block.
using NextPage = std::function<Result<Lines>(const std::string& after, std::size_t limit)>;

// Answers with the parameters `limit` and `after` that listings share. Errors: bad_option; nothing
// was answered then.
Status start_listing(const ExchangePtr& exchange, const Params& params, NextPage next,
                     std::size_t page_rows = kPageRows);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_LISTINGS_H
