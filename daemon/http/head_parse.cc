#include "daemon/http/head_parse.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <limits>

namespace klog::http {
namespace {

namespace beast = boost::beast;

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Takes a head apart and nothing else: skip(true) ends it behind the fields, so none of the
// body's calls is made.
template <bool kIsRequest>
class HeadParser final : public beast::http::basic_parser<kIsRequest> {
public:
    explicit HeadParser(ParsedHead& head) : head_(head) {
        this->skip(true);
        this->header_limit(std::numeric_limits<std::uint32_t>::max());
    }

private:
    using Error = beast::error_code;
    using View = beast::string_view;

    void on_request_impl(beast::http::verb /*verb*/, View method, View target, int version,
                         Error& /*error*/) override {
        head_.method.assign(method.data(), method.size());
        head_.target.assign(target.data(), target.size());
        head_.http_1_0 = version < 11;
    }
    void on_response_impl(int status, View /*reason*/, int version, Error& /*error*/) override {
        head_.status = status;
        head_.http_1_0 = version < 11;
    }
    void on_field_impl(beast::http::field /*field*/, View name, View value,
                       Error& /*error*/) override {
        auto& [to_name, to_value] = head_.fields.emplace_back();
        to_name.resize(name.size());
        std::transform(name.begin(), name.end(), to_name.begin(), to_lower);
        to_value.assign(value.data(), value.size());
    }
    void on_header_impl(Error& /*error*/) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>& /*length*/,
                           Error& /*error*/) override {}
    std::size_t on_body_impl(View body, Error& /*error*/) override { return body.size(); }
    void on_chunk_header_impl(std::uint64_t /*size*/, View /*extensions*/,
                              Error& /*error*/) override {}
    std::size_t on_chunk_body_impl(std::uint64_t /*remain*/, View body, Error& /*error*/) override {
        return body.size();
    }
    void on_finish_impl(Error& /*error*/) override {}

    ParsedHead& head_;
};

template <bool kIsRequest>
Result<ParsedHead> parse(std::string_view bytes) {
    constexpr std::size_t kFieldsUsual = 8;
    ParsedHead head;
    head.fields.reserve(kFieldsUsual);
    HeadParser<kIsRequest> parser(head);
    beast::error_code error;
    const std::size_t used =
        parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    if (error) {
        return klog::Error{Code::bad_request, "the head is no HTTP/1.1: " + error.message(), ""};
    }
    if (!parser.is_done() || used != bytes.size()) {
        return klog::Error{Code::bad_request, "the head is no HTTP/1.1", ""};
    }
    return head;
}

}  // namespace

Result<ParsedHead> parse_request_head(std::string_view head) { return parse<true>(head); }

Result<ParsedHead> parse_response_head(std::string_view head) { return parse<false>(head); }

}  // namespace klog::http
