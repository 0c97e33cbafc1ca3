// Bodies that are a few members of JSON.
#ifndef KLOG_DAEMON_API_SMALL_BODY_H
#define KLOG_DAEMON_API_SMALL_BODY_H

#include <functional>
#include <string>

#include "daemon/api/context.h"

namespace klog::api {

inline constexpr std::size_t kSmallBodyBytesMax = 256 * 1024;

// Reads the whole body and hands it over; what is too long or breaks off is answered here.
void read_small_body(const ExchangePtr& exchange, std::function<void(std::string)> then);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_SMALL_BODY_H
