#include "daemon/api/small_body.h"

#include <fmt/core.h>

#include <memory>
#include <utility>

namespace klog::api {
namespace {

class SmallBody : public std::enable_shared_from_this<SmallBody> {
public:
    SmallBody(ExchangePtr exchange, std::function<void(std::string)> then)
        : exchange_(std::move(exchange)), then_(std::move(then)) {}

    void read_more() {
        exchange_->read_body(kSmallBodyBytesMax + 1,
                             [self = shared_from_this()](Result<http::BodyChunk> chunk) {
                                 self->take(std::move(chunk));
                             });
    }

private:
    void take(Result<http::BodyChunk> chunk) {
        if (!chunk) return answer_error(exchange_, chunk.error());
        if (chunk->bytes != nullptr) body_ += *chunk->bytes;
        if (body_.size() > kSmallBodyBytesMax) {
            return answer_error(
                exchange_,
                Error{Code::value_too_large,
                      fmt::format("the body of this call has at most {} bytes", kSmallBodyBytesMax),
                      {}});
        }
        if (!chunk->last) return read_more();
        then_(std::move(body_));
    }

    ExchangePtr exchange_;
    std::function<void(std::string)> then_;
    std::string body_;
};

}  // namespace

void read_small_body(const ExchangePtr& exchange, std::function<void(std::string)> then) {
    if (!exchange->request().has_body) return then({});
    std::make_shared<SmallBody>(exchange, std::move(then))->read_more();
}

}  // namespace klog::api
