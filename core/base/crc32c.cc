#include "base/crc32c.h"

#include <array>
#include <cstddef>

#include "base/coding.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace klog {
namespace {

// The Castagnoli polynomial, bit-reflected: bit 31 is the coefficient of x^0.
constexpr std::uint32_t kPolynomial = 0x82f63b78;
constexpr std::uint32_t kOne = 0x80000000;

using ByteTable = std::array<std::uint32_t, 256>;

constexpr std::uint32_t times_x(std::uint32_t v) {
    return (v & 1U) != 0 ? (v >> 1U) ^ kPolynomial : v >> 1U;
}

// table[k][b]: the register after byte b and then k zero bytes, so that eight bytes take one step.
constexpr std::array<ByteTable, 8> make_slices() {
    std::array<ByteTable, 8> slices{};
    for (std::uint32_t b = 0; b < 256; ++b) {
        std::uint32_t v = b;
        for (int bit = 0; bit < 8; ++bit) v = times_x(v);
        slices[0][b] = v;
    }
    for (std::size_t k = 1; k < slices.size(); ++k) {
        for (std::size_t b = 0; b < 256; ++b) {
            const std::uint32_t v = slices[k - 1][b];
            slices[k][b] = slices[0][v & 0xffU] ^ (v >> 8U);
        }
    }
    return slices;
}

constexpr std::array<ByteTable, 8> kSlices = make_slices();

std::uint32_t table_register(const char* at, std::size_t n, std::uint32_t crc) {
    while (n >= 8) {
        const std::uint64_t v = load_fixed<std::uint64_t>(at) ^ crc;
        crc = 0;
        for (unsigned i = 0; i < 8; ++i) crc ^= kSlices[7 - i][(v >> (8 * i)) & 0xffU];
        at += 8;
        n -= 8;
    }
    for (; n > 0; --n, ++at) {
        crc = kSlices[0][(crc ^ static_cast<unsigned char>(*at)) & 0xffU] ^ (crc >> 8U);
    }
    return crc;
}

#if defined(__x86_64__) || defined(__aarch64__)

constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
    std::uint32_t product = 0;
    for (std::uint32_t bit = kOne; bit != 0; bit >>= 1U) {
        if ((a & bit) != 0) product ^= b;
        b = times_x(b);
    }
    return product;
}

// x^(8 * bytes) modulo the polynomial: what a register is multiplied with by that many zero bytes.
constexpr std::uint32_t zeros_factor(std::size_t bytes) {
    std::uint32_t result = kOne;
    std::uint32_t power = kOne >> 8U;
    for (; bytes != 0; bytes >>= 1U) {
        if ((bytes & 1U) != 0) result = multiply(result, power);
        power = multiply(power, power);
    }
    return result;
}

using ZerosTable = std::array<ByteTable, 4>;

constexpr ZerosTable make_zeros_table(std::size_t bytes) {
    const std::uint32_t factor = zeros_factor(bytes);
    ZerosTable table{};
    for (unsigned k = 0; k < 4; ++k) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            const std::size_t half = std::size_t{1} << bit;
            const std::uint32_t image = multiply(factor, std::uint32_t{1} << (8 * k + bit));
            for (std::size_t b = 0; b < half; ++b) table[k][half + b] = table[k][b] ^ image;
        }
    }
    return table;
}

// One instruction takes eight bytes but its result comes three cycles later, so three stripes of
// the input run side by side and are joined through the tables.
constexpr std::size_t kLongStripeBytes = 4096;
constexpr std::size_t kShortStripeBytes = 256;
constexpr ZerosTable kLongZeros = make_zeros_table(kLongStripeBytes);
constexpr ZerosTable kShortZeros = make_zeros_table(kShortStripeBytes);

inline std::uint64_t append_zeros(const ZerosTable& table, std::uint64_t crc) {
    return table[0][crc & 0xffU] ^ table[1][(crc >> 8U) & 0xffU] ^ table[2][(crc >> 16U) & 0xffU] ^
           table[3][(crc >> 24U) & 0xffU];
}

#if defined(__x86_64__)

#define KLOG_CRC_TARGET __attribute__((target("sse4.2")))

bool has_instruction() { return __builtin_cpu_supports("sse4.2") != 0; }
KLOG_CRC_TARGET inline std::uint64_t step8(std::uint64_t crc, std::uint64_t v) {
    return _mm_crc32_u64(crc, v);
}
KLOG_CRC_TARGET inline std::uint64_t step1(std::uint64_t crc, unsigned char v) {
    return _mm_crc32_u8(static_cast<std::uint32_t>(crc), v);
}

#else

#define KLOG_CRC_TARGET

// HWCAP_CRC32 of the Linux ABI for arm64.
constexpr unsigned long kHwcapCrc32 = 1UL << 7U;

bool has_instruction() { return (getauxval(AT_HWCAP) & kHwcapCrc32) != 0; }
// Assembly, because g++ and clang spell the target attribute of the intrinsics differently.
inline std::uint64_t step8(std::uint64_t crc, std::uint64_t v) {
    auto r = static_cast<std::uint32_t>(crc);
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(r) : "r"(v));
    return r;
}
inline std::uint64_t step1(std::uint64_t crc, unsigned char v) {
    auto r = static_cast<std::uint32_t>(crc);
    const std::uint32_t wide = v;
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(r) : "r"(wide));
    return r;
}

#endif

template <std::size_t kStripeBytes>
KLOG_CRC_TARGET inline std::uint64_t three_stripes(const char* at, std::uint64_t crc,
                                                   const ZerosTable& zeros) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < kStripeBytes; i += 8) {
        crc = step8(crc, load_fixed<std::uint64_t>(at + i));
        second = step8(second, load_fixed<std::uint64_t>(at + kStripeBytes + i));
        third = step8(third, load_fixed<std::uint64_t>(at + 2 * kStripeBytes + i));
    }
    crc = append_zeros(zeros, crc) ^ second;
    return append_zeros(zeros, crc) ^ third;
}

KLOG_CRC_TARGET std::uint32_t instruction_register(const char* at, std::size_t n,
                                                   std::uint32_t seed) {
    std::uint64_t crc = seed;
    for (; n >= 3 * kLongStripeBytes; n -= 3 * kLongStripeBytes, at += 3 * kLongStripeBytes) {
        crc = three_stripes<kLongStripeBytes>(at, crc, kLongZeros);
    }
    for (; n >= 3 * kShortStripeBytes; n -= 3 * kShortStripeBytes, at += 3 * kShortStripeBytes) {
        crc = three_stripes<kShortStripeBytes>(at, crc, kShortZeros);
    }
    for (; n >= 8; n -= 8, at += 8) crc = step8(crc, load_fixed<std::uint64_t>(at));
    for (; n > 0; --n, ++at) crc = step1(crc, static_cast<unsigned char>(*at));
    return static_cast<std::uint32_t>(crc);
}

#endif

}  // namespace

std::uint32_t crc32c_table(std::string_view bytes, std::uint32_t seed) {
    return ~table_register(bytes.data(), bytes.size(), ~seed);
}

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed) {
#if defined(__x86_64__) || defined(__aarch64__)
    if (has_instruction()) [[likely]] {
        return ~instruction_register(bytes.data(), bytes.size(), ~seed);
    }
#endif
    return crc32c_table(bytes, seed);
}

}  // namespace klog
