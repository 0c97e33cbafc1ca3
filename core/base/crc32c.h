// CRC-32C (Castagnoli), by SSE4.2 or ARMv8 instructions where the processor has them, else by
// table. Test vector: crc32c("123456789") is 0xe3069283.
#ifndef KLOG_BASE_CRC32C_H
#define KLOG_BASE_CRC32C_H

#include <cstdint>
#include <string_view>

namespace klog {

// Continues from `seed`, the result of an earlier call (0 to begin with).
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);

// The portable one, for tests to compare with.
[[nodiscard]] std::uint32_t crc32c_table(std::string_view bytes, std::uint32_t seed = 0);

}  // namespace klog

#endif  // KLOG_BASE_CRC32C_H
