// Tephra's protocol: frames of a length and a protobuf message, a request and its response each.
#include <fmt/format.h>

#include "tests/bench/decide/wire.h"

namespace klog::decide {
namespace {

constexpr std::size_t kLengthBytes = 4;
constexpr std::uint64_t kProtocolVersion = 1;
enum RequestField : unsigned { kRequestId = 1, kRequestAppend = 2, kRequestHello = 7 };
enum ResponseField : unsigned { kResponseAppend = 2, kResponseError = 5 };

class TephraWriter : public Writer {
public:
    TephraWriter(std::size_t writer, std::size_t batch) : message_(writer, batch) {}

    void greet(std::string& out) override {
        std::string hello;
        wire::put_number(hello, 1, kProtocolVersion);
        put_request(out, kRequestHello, hello);
    }

    void append(std::string& out) override {
        put_request(out, kRequestAppend, message_.make(after_));
    }

    bool take(std::string& came, std::string& /*out*/) override {
        bool answered = false;
        while (came.size() >= kLengthBytes) {
            const std::string_view all = came;
            const std::size_t size = wire::big_endian(all.substr(0, kLengthBytes));
            if (all.size() < kLengthBytes + size) break;
            answered = take_response(all.substr(kLengthBytes, size)) || answered;
            came.erase(0, kLengthBytes + size);
        }
        return answered;
    }

private:
    void put_request(std::string& out, unsigned field, std::string_view content) {
        request_.clear();
        wire::put_number(request_, kRequestId, ++requests_);
        wire::put_bytes(request_, field, content);
        wire::put_big_endian(out, request_.size(), kLengthBytes);
        out += request_;
    }

    bool take_response(std::string_view response) {
        while (const auto field = wire::next_field(response)) {
            if (field->number == kResponseError) {
                die(fmt::format("Tephra refused: {}", field->bytes));
            }
            if (field->number == kResponseAppend) return take_positions(field->bytes);
        }
        return false;  // to the hello
    }

    bool take_positions(std::string_view positions) {
        while (const auto field = wire::next_field(positions)) {
            if (field->number == 2) after_ = field->value;
        }
        return true;
    }

    wire::AppendMessage message_;
    std::uint64_t requests_ = 0;
    std::uint64_t after_ = 0;
    std::string request_;
};

}  // namespace

std::unique_ptr<Writer> tephra_writer(std::size_t writer, std::size_t batch) {
    return std::make_unique<TephraWriter>(writer, batch);
}

}  // namespace klog::decide
