#include "klog/types.h"

#include "base/coding.h"

namespace klog {

std::string encode_headers(const std::vector<Header>& headers) {
    std::string out;
    if (headers.empty()) return out;
    put_varint(out, headers.size());
    for (const Header& header : headers) {
        put_bytes(out, header.name);
        put_bytes(out, header.value);
    }
    return out;
}

std::vector<Header> decode_headers(std::string_view encoded) {
    std::vector<Header> headers;
    ByteReader in(encoded);
    for (std::uint64_t left = encoded.empty() ? 0 : in.varint(); left > 0; --left) {
        const std::string_view name = in.bytes();
        const std::string_view value = in.bytes();
        if (!in.ok()) break;
        headers.push_back({name, value});
    }
    return headers;
}

}  // namespace klog
