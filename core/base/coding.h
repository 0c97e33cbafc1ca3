// Little-endian integers and varints (LEB128), written to strings and read from checked cursors.
#ifndef KLOG_BASE_CODING_H
#define KLOG_BASE_CODING_H

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace klog {

inline void put_u8(std::string& out, std::uint8_t v) { out.push_back(static_cast<char>(v)); }
template <class T>
void put_fixed(std::string& out, T v) {
    static_assert(std::is_integral_v<T>);
    char bytes[sizeof(T)];
    std::memcpy(bytes, &v, sizeof v);  // both supported architectures are little endian
    out.append(bytes, sizeof v);
}
inline void put_varint(std::string& out, std::uint64_t v) {
    while (v >= 0x80) {
        out.push_back(static_cast<char>(v | 0x80U));
        v >>= 7U;
    }
    out.push_back(static_cast<char>(v));
}
inline void put_bytes(std::string& out, std::string_view bytes) {
    put_varint(out, bytes.size());
    out.append(bytes);
}
template <class T>
[[nodiscard]] T load_fixed(const char* at) {
    T v;
    std::memcpy(&v, at, sizeof v);
    return v;
}

// Reads what put_* wrote. After the first read past the end, ok() is false and every further read
// gives zero or empty.
class ByteReader {
public:
    explicit ByteReader(std::string_view bytes) : at_(bytes.data()), end_(at_ + bytes.size()) {}
    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
    [[nodiscard]] const char* position() const { return at_; }

    template <class T>
    T fixed() {
        if (left() < sizeof(T)) return fail<T>();
        T v = load_fixed<T>(at_);
        at_ += sizeof(T);
        return v;
    }
    std::uint8_t u8() { return fixed<std::uint8_t>(); }
    // At most ten bytes; an over-long or overflowing varint is a failure.
    std::uint64_t varint() {
        std::uint64_t v = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (at_ == end_) return fail<std::uint64_t>();
            const auto b = static_cast<std::uint8_t>(*at_++);
            if (shift == 63 && b > 1) return fail<std::uint64_t>();
            v |= static_cast<std::uint64_t>(b & 0x7fU) << shift;
            if ((b & 0x80U) == 0) return v;
        }
        return fail<std::uint64_t>();
    }
    std::string_view raw(std::size_t n) {
        if (left() < n) {
            ok_ = false;
            at_ = end_;
            return {};
        }
        const std::string_view v(at_, n);
        at_ += n;
        return v;
    }
    std::string_view bytes() {
        const std::uint64_t n = varint();
        if (n > left()) {
            ok_ = false;
            at_ = end_;
            return {};
        }
        return raw(static_cast<std::size_t>(n));
    }

private:
    template <class T>
    T fail() {
        ok_ = false;
        at_ = end_;
        return T{};
    }
    const char* at_;
    const char* end_;
    bool ok_ = true;
};

}  // namespace klog

#endif  // KLOG_BASE_CODING_H
