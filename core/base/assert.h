// KLOG_ASSERT is for bugs only and stays on in release. Bytes from disk, network or users are
// checked and become errors instead.
#ifndef KLOG_BASE_ASSERT_H
#define KLOG_BASE_ASSERT_H

namespace klog {
[[noreturn]] void assert_failed(const char* expression, const char* file, int line);
}  // namespace klog

#define KLOG_ASSERT(expr)                                     \
    do {                                                      \
        if (!(expr)) [[unlikely]] {                           \
            ::klog::assert_failed(#expr, __FILE__, __LINE__); \
        }                                                     \
    } while (false)

#endif  // KLOG_BASE_ASSERT_H
