// SipHash-2-4 with a 128-bit result (Aumasson and Bernstein, 2012), keyed: without the store's key
// nobody can construct two entities or values that collide.
#ifndef KLOG_BASE_SIPHASH_H
#define KLOG_BASE_SIPHASH_H

#include <array>
#include <compare>
#include <cstdint>
#include <string_view>

namespace klog {

struct Hash128 {
    std::uint64_t hi = 0;
    std::uint64_t lo = 0;
    friend constexpr auto operator<=>(const Hash128&, const Hash128&) = default;
};

using HashKey = std::array<std::uint8_t, 16>;

// Streaming, so that several fields are hashed without being copied together. Callers put a
// length before each field of variable size.
class SipHash {
public:
    explicit SipHash(const HashKey& key);
    void update(std::string_view bytes);
    void update_u64(std::uint64_t value);  // 8 bytes, little endian
    [[nodiscard]] Hash128 finish();

private:
    std::uint64_t v0_, v1_, v2_, v3_;
    std::uint64_t tail_ = 0;
    std::uint64_t length_ = 0;
    void block(std::uint64_t m);
};

// SipHash-1-3 with 64 bits of `first` (8 bytes, little endian) and then `bytes`: fewer rounds, for
// tables in memory, as Python and Rust hash their keys. Never for what is written down.
[[nodiscard]] std::uint64_t sip_hash_13(const HashKey& key, std::uint64_t first,
                                        std::string_view bytes);

}  // namespace klog

#endif  // KLOG_BASE_SIPHASH_H
