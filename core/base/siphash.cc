#include "base/siphash.h"

#include <bit>
#include <cstddef>
#include <cstring>

#include "base/coding.h"

namespace klog {
namespace {

inline void sip_round(std::uint64_t& v0, std::uint64_t& v1, std::uint64_t& v2, std::uint64_t& v3) {
    v0 += v1;
    v1 = std::rotl(v1, 13);
    v1 ^= v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16);
    v3 ^= v2;
    v0 += v3;
    v3 = std::rotl(v3, 21);
    v3 ^= v0;
    v2 += v1;
    v1 = std::rotl(v1, 17);
    v1 ^= v2;
    v2 = std::rotl(v2, 32);
}

// Fewer than eight bytes, little endian, without a loop over them: hashed fields are short.
inline std::uint64_t load_partial(const char* at, std::size_t n) {
    if (n >= 4) {
        const std::uint64_t low = load_fixed<std::uint32_t>(at);
        const std::uint64_t high = load_fixed<std::uint32_t>(at + n - 4);
        return low | (high << (8 * (n - 4)));
    }
    if (n == 0) return 0;
    const auto byte = [at](std::size_t i) -> std::uint64_t {
        return static_cast<unsigned char>(at[i]);
    };
    return byte(0) | (byte(n / 2) << (8 * (n / 2))) | (byte(n - 1) << (8 * (n - 1)));
}

}  // namespace

SipHash::SipHash(const HashKey& key) {
    std::uint64_t k0 = 0;
    std::uint64_t k1 = 0;
    std::memcpy(&k0, key.data(), 8);
    std::memcpy(&k1, key.data() + 8, 8);
    v0_ = k0 ^ 0x736f6d6570736575ULL;
    v1_ = k1 ^ 0x646f72616e646f6dULL ^ 0xeeULL;  // 0xee: the variant with 128 bits
    v2_ = k0 ^ 0x6c7967656e657261ULL;
    v3_ = k1 ^ 0x7465646279746573ULL;
}

inline void SipHash::block(std::uint64_t m) {
    v3_ ^= m;
    sip_round(v0_, v1_, v2_, v3_);
    sip_round(v0_, v1_, v2_, v3_);
    v0_ ^= m;
}

void SipHash::update_u64(std::uint64_t value) {
    const auto held_bits = static_cast<unsigned>(length_ & 7U) * 8;
    length_ += 8;
    if (held_bits == 0) {
        block(value);
        return;
    }
    block(tail_ | (value << held_bits));
    tail_ = value >> (64 - held_bits);
}

void SipHash::update(std::string_view bytes) {
    const char* at = bytes.data();
    std::size_t n = bytes.size();
    const std::size_t held = length_ & 7U;
    length_ += n;
    if (held != 0) {
        const std::size_t wanted = 8 - held;
        if (n < wanted) {
            tail_ |= load_partial(at, n) << (8 * held);
            return;
        }
        block(tail_ | (load_partial(at, wanted) << (8 * held)));
        at += wanted;
        n -= wanted;
    }
    SipHash local = *this;  // which `at` cannot point to, so that it stays in registers
    for (; n >= 8; n -= 8, at += 8) local.block(load_fixed<std::uint64_t>(at));
    *this = local;
    tail_ = load_partial(at, n);
}

Hash128 SipHash::finish() {
    block(tail_ | (length_ << 56U));
    v2_ ^= 0xeeU;
    for (int i = 0; i < 4; ++i) sip_round(v0_, v1_, v2_, v3_);
    Hash128 hash;
    hash.lo = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xddU;
    for (int i = 0; i < 4; ++i) sip_round(v0_, v1_, v2_, v3_);
    hash.hi = v0_ ^ v1_ ^ v2_ ^ v3_;
    return hash;
}

std::uint64_t sip_hash_13(const HashKey& key, std::uint64_t first, std::string_view bytes) {
    const auto k0 = load_fixed<std::uint64_t>(reinterpret_cast<const char*>(key.data()));
    const auto k1 = load_fixed<std::uint64_t>(reinterpret_cast<const char*>(key.data()) + 8);
    std::uint64_t v0 = k0 ^ 0x736f6d6570736575ULL;
    std::uint64_t v1 = k1 ^ 0x646f72616e646f6dULL;
    std::uint64_t v2 = k0 ^ 0x6c7967656e657261ULL;
    std::uint64_t v3 = k1 ^ 0x7465646279746573ULL;
    const auto block = [&](std::uint64_t m) {
        v3 ^= m;
        sip_round(v0, v1, v2, v3);
        v0 ^= m;
    };
    block(first);
    const std::uint64_t length = sizeof first + bytes.size();
    for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
        block(load_fixed<std::uint64_t>(bytes.data()));
    }
    block(load_partial(bytes.data(), bytes.size()) | (length << 56U));
    v2 ^= 0xffU;
    for (int i = 0; i < 3; ++i) sip_round(v0, v1, v2, v3);
    return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace klog
