// One record: its body is the value.
#include <fmt/core.h>

#include "daemon/api/acks.h"
#include "daemon/api/guarded_append.h"
#include "daemon/api/produce.h"
#include "daemon/api/violations.h"
#include "daemon/json/json_check.h"
#include "daemon/json/record_json.h"

namespace klog::api {
namespace {

// White space that may stand around a JSON value on top of the value's own limit.
constexpr std::size_t kSpaceBytesMax = 4096;
constexpr int kStaleRetriesMax = 3;

class SingleWrite : public std::enable_shared_from_this<SingleWrite> {
public:
    SingleWrite(const Context& context, ExchangePtr exchange, SingleOptions options,
                Encoding encoding)
        : context_(context),
          exchange_(std::move(exchange)),
          options_(std::move(options)),
          encoding_(encoding),
          share_(context.bodies) {}

    void start() {
        const auto length = exchange_->request().content_length;
        if (length && *length > body_bytes_max()) return refuse_size(*length);
        read_more();
    }

private:
    [[nodiscard]] std::size_t body_bytes_max() const {
        return context_.options.value_bytes_max +
               (encoding_ == Encoding::json ? kSpaceBytesMax : 0);
    }

    void refuse_size(std::size_t size) {
        answer_error(exchange_,
                     Error{Code::value_too_large,
                           fmt::format("the value holds {} bytes, at most {} are allowed", size,
                                       context_.options.value_bytes_max),
                           "klog daemon --value-bytes-max"});
    }

    void read_more() {
        exchange_->read_body(body_bytes_max() + 1,
                             [self = shared_from_this()](Result<http::BodyChunk> chunk) {
                                 self->take(std::move(chunk));
                             });
    }

    void take(Result<http::BodyChunk> chunk) {
        if (!chunk) return answer_error(exchange_, chunk.error());
        const std::size_t more = chunk->bytes == nullptr ? 0 : chunk->bytes->size();
        if (!share_.hold((body_ == nullptr ? 0 : body_->size()) + more)) {
            return answer_error(exchange_, context_.bodies->refusal());
        }
        if (body_ == nullptr) {
            body_ = std::move(chunk->bytes);
        } else if (chunk->bytes != nullptr) {
            body_->append(*chunk->bytes);
        }
        const std::size_t size = body_ == nullptr ? 0 : body_->size();
        if (size > body_bytes_max()) return refuse_size(size);
        if (!chunk->last) return read_more();
        if (body_ == nullptr) body_ = std::make_shared<std::string>();
        write();
    }

    void write() {
        std::string_view value(*body_);
        if (encoding_ == Encoding::json && !(value.empty() && options_.kind == Kind::tombstone)) {
            const auto checked = json::Checker().check(body_->data(), body_->size());
            if (!checked) return answer_error(exchange_, checked.error());
            value = *checked;
        }
        if (value.size() > context_.options.value_bytes_max) return refuse_size(value.size());
        auto batch = std::make_unique<WriteBatch>();
        WriteRecord& record = batch->records.emplace_back();
        record.topic = options_.topic;
        record.has_key = options_.key.has_value();
        if (options_.key) record.key = *options_.key;
        record.id = options_.id;
        record.headers = options_.headers;
        record.value = value;
        record.kind = options_.kind;
        record.encoding = encoding_;
        record.has_event_time = options_.event_time.has_value();
        record.event_time = options_.event_time.value_or(Time{});
        record.expect = options_.expect;
        if (options_.guard) record.guard = &*options_.guard;
        record.line = 1;
        batch->keep_alive(shared_from_this());  // the record's views point into this object
        append(std::move(batch));
    }

    void append(std::unique_ptr<WriteBatch> batch) {
        batch->records[0].settings_seq = context_.log.settings_seq();
        batch->done = [exchange = exchange_,
                       weak = weak_from_this()](std::unique_ptr<WriteBatch> answered) {
            // std::function must be copyable, so the batch changes hands.
            std::shared_ptr<WriteBatch> shared = std::move(answered);
            exchange->post([weak, shared] {
                if (const auto self = weak.lock()) self->answer(*shared);
            });
        };
        append_guarded(context_, exchange_, std::move(batch));
    }

    void answer(WriteBatch& batch) {
        const WriteResult& result = batch.results[0];
        switch (result.outcome) {
            case WriteResult::Outcome::written:
            case WriteResult::Outcome::duplicate:
                return answer_written(result);
            case WriteResult::Outcome::stale_settings:
                if (++stale_retries_ <= kStaleRetriesMax) {
                    auto again = std::make_unique<WriteBatch>();
                    again->records = batch.records;
                    again->keep_alive(shared_from_this());
                    return append(std::move(again));
                }
                break;
            default:
                break;
        }
        const Error error = error_of(result);
        std::vector<Violation> violations = violations_of(1, batch.records[0], result);
        if (violations.empty()) return answer_error(exchange_, error);
        answer_conflict(error, std::move(violations));
    }

    void answer_written(const WriteResult& result) {
        const bool duplicate = result.outcome == WriteResult::Outcome::duplicate;
        std::string body = "{\"seq\":" + std::to_string(result.seq.value);
        if (result.version.value != 0) {
            body += ",\"version\":" + std::to_string(result.version.value);
        }
        body += ",\"time\":\"";
        json::append_time(body, result.time);
        body += "\",\"durable\":\"";
        body += context_.durable();
        body += duplicate ? "\",\"duplicate\":true}\n" : "\"}\n";
        answer_json(exchange_, duplicate ? 200 : 201, std::move(body));
    }

    // The newest record's id helps a writer see whether it was its own; only the disk knows it, and
    // the key of what stands against a guard.
    void answer_conflict(const Error& error, std::vector<Violation> violations) {
        const auto found = std::make_shared<std::vector<Violation>>(std::move(violations));
        const auto details = std::make_shared<std::vector<ViolationDetails>>();
        exchange_->run_blocking(
            [self = shared_from_this(), found, details] {
                *details = violation_details(self->context_.log, *found);
            },
            [self = shared_from_this(), error, found, details] {
                answer_error(self->exchange_, error, violations_text(*found, *details));
            });
    }

    const Context& context_;
    ExchangePtr exchange_;
    SingleOptions options_;
    Encoding encoding_;
    BodyBudget::Share share_;
    std::shared_ptr<std::string> body_;
    int stale_retries_ = 0;
};

}  // namespace

void produce_single(const Context& context, const ExchangePtr& exchange, SingleOptions options,
                    Encoding encoding) {
    std::make_shared<SingleWrite>(context, exchange, std::move(options), encoding)->start();
}

}  // namespace klog::api
