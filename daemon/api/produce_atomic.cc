// An atomic batch: all lines of a body, written together or not at all.
#include <fmt/core.h>

#include <algorithm>

#include "daemon/api/acks.h"
#include "daemon/api/guarded_append.h"
#include "daemon/api/line_parser.h"
#include "daemon/api/line_splitter.h"
#include "daemon/api/produce.h"
#include "daemon/api/violations.h"

namespace klog::api {
namespace {

constexpr std::size_t kReadBytesMax = 256 * 1024;
constexpr int kStaleRetriesMax = 3;

class AtomicWrite : public std::enable_shared_from_this<AtomicWrite> {
public:
    AtomicWrite(const Context& context, ExchangePtr exchange, StreamOptions options)
        : context_(context),
          exchange_(std::move(exchange)),
          options_(std::move(options)),
          bytes_max_(
              std::max(Limits::kBatchBytesMax, line_bytes_max(context.options.value_bytes_max))),
          splitter_(line_bytes_max(context.options.value_bytes_max)),
          parser_(options_, context.options.value_bytes_max),
          share_(context.bodies),
          batch_(std::make_unique<WriteBatch>()) {
        batch_->atomic = std::make_unique<AtomicPart>();
    }

    void start() {
        if (options_.guard) {
            batch_->atomic->guards.emplace_back().filters = &*options_.guard;
            filters_ = count_filters(*options_.guard);
        }
        const auto length = exchange_->request().content_length;
        if (length && *length > bytes_max_) return refuse_size("bytes", bytes_max_);
        read_more();
    }

private:
    static std::size_t count_filters(const FilterGuard& guard) {
        return guard.none.size() + guard.not_filters.size();
    }

    void refuse_size(std::string_view unit, std::size_t limit) {
        answer_error(exchange_,
                     Error{Code::batch_too_large,
                           fmt::format("an atomic batch holds at most {} {}", limit, unit),
                           "write it in parts, or as a stream, which has no end"});
    }

    void read_more() {
        exchange_->read_body(kReadBytesMax,
                             [self = shared_from_this()](Result<http::BodyChunk> chunk) {
                                 self->take(std::move(chunk));
                             });
    }

    void take(Result<http::BodyChunk> chunk) {
        if (!chunk) return answer_error(exchange_, chunk.error());
        bytes_ += chunk->bytes == nullptr ? 0 : chunk->bytes->size();
        if (bytes_ > bytes_max_) return refuse_size("bytes", bytes_max_);
        splitter_.feed(
            chunk->bytes != nullptr ? std::move(chunk->bytes) : std::make_shared<std::string>(),
            chunk->last);
        while (std::optional<Line> line = splitter_.next()) {
            const std::size_t query_guard = options_.guard ? 1 : 0;
            if (++lines_ + query_guard > Limits::kBatchItemsMax) {
                return refuse_size("records, guards and acks", Limits::kBatchItemsMax);
            }
            take_line(*line);
            if (filters_ > Limits::kBatchGuardFiltersMax) {
                return refuse_size("filters in its guards", Limits::kBatchGuardFiltersMax);
            }
        }
        // Short lines take more room as records than in the body.
        if (!share_.hold(bytes_ + lines_ * sizeof(WriteRecord))) {
            return answer_error(exchange_, context_.bodies->refusal());
        }
        if (!chunk->last) return read_more();
        // With them the log refuses the batch, and names what else is malformed.
        batch_->atomic->malformed = std::move(violations_);
        batch_->keep_alive(shared_from_this());  // its options, which records point into
        append(std::move(batch_));
    }

    void take_line(Line& line) {
        AtomicPart& atomic = *batch_->atomic;
        const std::size_t guards = atomic.guards.size();
        const std::size_t records = batch_->records.size();
        Status status = parser_.parse_atomic(line, *batch_);
        if (!status) return note(line.number, std::move(status).error());
        if (atomic.guards.size() > guards && atomic.guards.back().filters != nullptr) {
            filters_ += count_filters(*atomic.guards.back().filters);
        }
        if (batch_->records.size() > records && batch_->records.back().guard != nullptr) {
            filters_ += count_filters(*batch_->records.back().guard);
        }
        if (line.owner.get() == kept_) return;
        kept_ = line.owner.get();
        batch_->keep_alive(std::move(line.owner));
    }

    void note(std::uint64_t line, Error error) {
        if (violations_.size() == Limits::kViolationsMax) {
            ++violations_left_out_;
            return;
        }
        Violation& violation = violations_.emplace_back();
        violation.line = line;
        violation.error = std::move(error);
    }

    void append(std::unique_ptr<WriteBatch> batch) {
        const AtomicPart& atomic = *batch->atomic;
        if (batch->records.empty() && atomic.guards.empty() && atomic.acks.empty() &&
            atomic.malformed.empty()) {
            return answer_written(*batch, false);
        }
        const std::uint64_t settings = context_.log.settings_seq();
        for (WriteRecord& record : batch->records) record.settings_seq = settings;
        batch->done = [exchange = exchange_,
                       weak = weak_from_this()](std::unique_ptr<WriteBatch> answered) {
            // std::function must be copyable, so the batch changes hands.
            std::shared_ptr<WriteBatch> shared = std::move(answered);
            exchange->post([weak, shared] {
                if (const auto self = weak.lock()) self->answer(shared);
            });
        };
        append_guarded(context_, exchange_, std::move(batch));
    }

    void answer(const std::shared_ptr<WriteBatch>& batch) {
        AtomicPart& atomic = *batch->atomic;
        switch (atomic.outcome) {
            case WriteResult::Outcome::written:
                return answer_written(*batch, false);
            case WriteResult::Outcome::duplicate:
                return answer_written(*batch, true);
            case WriteResult::Outcome::stale_settings:
                if (++stale_retries_ <= kStaleRetriesMax) return append_again(batch);
                return answer_error(
                    exchange_,
                    Error{Code::backpressure,
                          "settings changed again and again while the batch waited", "try again"});
            case WriteResult::Outcome::unknown:
                return answer_error(exchange_, atomic.error.value_or(Error{
                                                   Code::outcome_unknown,
                                                   "it is not known whether the batch was written",
                                                   "send it again with the same ids"}));
            case WriteResult::Outcome::refused:
            case WriteResult::Outcome::skipped:
                break;
        }
        violations_ = std::move(atomic.violations);
        violations_left_out_ += atomic.violations_left_out;
        if (!violations_.empty()) return answer_violations();
        answer_error(exchange_, atomic.error.value_or(
                                    Error{Code::bug, "a batch was refused without a reason", {}}));
    }

    void append_again(const std::shared_ptr<WriteBatch>& batch) {
        auto again = std::make_unique<WriteBatch>();
        again->records = batch->records;
        again->atomic = std::make_unique<AtomicPart>();
        again->atomic->guards = batch->atomic->guards;
        again->atomic->acks = batch->atomic->acks;
        again->keep_alive(batch);
        append(std::move(again));
    }

    void answer_written(const WriteBatch& batch, bool duplicate) {
        constexpr std::size_t kRowBytesUsual = 48;
        std::string rows;
        rows.reserve(batch.records.size() * kRowBytesUsual);
        Seq first;
        Seq last;
        for (std::size_t i = 0; i < batch.results.size(); ++i) {
            const WriteResult& result = batch.results[i];
            if (first == Seq{} || result.seq < first) first = result.seq;
            last = std::max(last, result.seq);
            rows += rows.empty() ? "{\"line\":" : ",{\"line\":";
            rows += std::to_string(batch.records[i].line) +
                    ",\"seq\":" + std::to_string(result.seq.value);
            if (result.version.value != 0) {
                rows += ",\"version\":" + std::to_string(result.version.value);
            }
            rows += duplicate ? ",\"duplicate\":true}" : "}";
        }
        std::string body = "{\"count\":" + std::to_string(batch.results.size());
        if (first != Seq{}) {
            body += ",\"first_seq\":" + std::to_string(first.value) +
                    ",\"last_seq\":" + std::to_string(last.value);
        }
        body += ",\"durable\":\"" + std::string(context_.durable()) + "\",\"records\":[" + rows +
                "]}\n";
        answer_json(exchange_, duplicate ? 200 : 201, std::move(body));
    }

    // Status and code are those of the first one.
    void answer_violations() {
        const auto details = std::make_shared<std::vector<ViolationDetails>>();
        exchange_->run_blocking(
            [self = shared_from_this(), details] {
                *details = violation_details(self->context_.log, self->violations_);
            },
            [self = shared_from_this(), details] {
                const Violation& first = self->violations_.front();
                Error error = first.error;
                if (first.line != 0) {
                    error.message = fmt::format("line {}: {}", first.line, error.message);
                }
                answer_error(
                    self->exchange_, error,
                    violations_text(self->violations_, *details, self->violations_left_out_));
            });
    }

    const Context& context_;
    ExchangePtr exchange_;
    StreamOptions options_;
    std::size_t bytes_max_;
    LineSplitter splitter_;
    LineParser parser_;
    BodyBudget::Share share_;
    std::unique_ptr<WriteBatch> batch_;  // while it grows
    const std::string* kept_ = nullptr;  // the piece of the body that the batch keeps already
    std::size_t bytes_ = 0;
    std::size_t lines_ = 0;
    std::size_t filters_ = 0;
    std::vector<Violation> violations_;
    std::uint64_t violations_left_out_ = 0;
    int stale_retries_ = 0;
};

}  // namespace

void produce_atomic(const Context& context, const ExchangePtr& exchange, StreamOptions options) {
    std::make_shared<AtomicWrite>(context, exchange, std::move(options))->start();
}

}  // namespace klog::api
