// A stream of lines, each of them a record. What one read of the body brings is handed to the log
// as one batch, a few batches are under way at a time, and acknowledgements are written in the
// order of the lines.
#include <fmt/core.h>

#include <deque>

#include "daemon/api/acks.h"
#include "daemon/api/guarded_append.h"
#include "daemon/api/line_parser.h"
#include "daemon/api/line_splitter.h"
#include "daemon/api/produce.h"
#include "daemon/api/stream_report.h"

namespace klog::api {
namespace {

constexpr std::size_t kReadBytesMax = 256 * 1024;
// Pieces of a body below this are committed by the thread that read them.
constexpr std::size_t kLeadBelowBytes = 96 * 1024;
// Limits of one batch and of all that the log has of one stream.
constexpr std::size_t kUnitLinesMax = 4096;
constexpr std::size_t kUnitBytesMax = 1024 * 1024;
// Each guard looks at the records of its unit that stand before it, while nobody else can write.
constexpr std::size_t kUnitGuardsMax = 256;
constexpr std::size_t kUnitsMax = 4;
constexpr std::size_t kUnitsBytesMax = 4 * 1024 * 1024;
constexpr int kStaleRetriesMax = 3;
constexpr std::size_t kUnreadAcksBytesMax = 1024 * 1024;
constexpr std::chrono::milliseconds kUnreadAcksTimeout{30'000};

// One batch and the lines around its records that never reached the log.
struct Unit {
    std::shared_ptr<WriteBatch> batch;  // null while the log has it
    std::vector<LocalError> errors;
    std::size_t bytes = 0;
    bool under_way = false;
    bool lines_found = false;    // asked once where duplicates were written
    bool details_found = false;  // asked once what stands against refused records
    ConflictDetails details;
    std::vector<std::size_t> retried;  // the records that were handed in again
    int retries = 0;
    std::shared_ptr<WriteBatch> again;
};

class ProduceStream : public std::enable_shared_from_this<ProduceStream> {
public:
    ProduceStream(const Context& context, ExchangePtr exchange, StreamOptions options)
        : context_(context),
          exchange_(std::move(exchange)),
          options_(std::move(options)),
          splitter_(line_bytes_max(context.options.value_bytes_max)),
          parser_(options_, context.options.value_bytes_max),
          report_(options_.summary, options_.skip_errors, options_.session_line - 1),
          stream_(std::make_shared<WriteStream>()),
          settings_seq_(context.log.settings_seq()),
          share_(context.bodies) {
        stream_->stop_on_error = !options_.skip_errors;
        stream_->session = options_.session;
    }

    void start() {
        const std::weak_ptr<ProduceStream> weak = weak_from_this();
        exchange_->on_closed([weak] {
            if (const auto self = weak.lock()) self->end_input();
        });
        exchange_->on_drain([weak] {
            if (const auto self = weak.lock()) {
                self->end_with({Code::stopping, "the daemon is stopping", "go on from this line"});
            }
        });
        if (!options_.summary) exchange_->start_stream(200, std::string(kNdjson), {});
        pump();
    }

private:
    // Goes on wherever there is something to do: hands lines to the log, or reads more of them.
    void pump() {
        if (pumping_ || finished_) return;
        pumping_ = true;
        led_ = false;
        while (!input_ended_ && !stale_ && !reading_ && !looking_ && has_room()) {
            if (submit_unit()) continue;
            if (splitter_.ended()) {
                input_ended_ = true;
            } else if (!input_ended_ && may_hold_more()) {
                read_more();
            }
        }
        pumping_ = false;
        if (input_ended_ && units_.empty()) finish();
    }

    // Where all bodies together hold too much, what is under way comes back before more is read.
    [[nodiscard]] bool may_hold_more() {
        if (share_.hold(units_bytes_ + splitter_.carried())) return true;
        if (units_.empty()) {
            end_with(context_.bodies->refusal());
        } else {
            held_back_ = true;
        }
        return false;
    }

    [[nodiscard]] bool has_room() {
        if (held_back_ && !units_.empty()) return false;
        held_back_ = false;
        if (units_.size() >= kUnitsMax || units_bytes_ >= kUnitsBytesMax) return false;
        if (options_.summary || exchange_->unsent_bytes() <= kUnreadAcksBytesMax) return true;
        wait_for_reader();
        return false;
    }

    // Acks pile up: read no more until the peer takes some, and give up on one that never does.
    void wait_for_reader() {
        if (waiting_for_reader_) return;
        waiting_for_reader_ = true;
        exchange_->set_timer(kUnreadAcksTimeout, [self = shared_from_this()] {
            self->end_with({Code::timeout, "acknowledgements were not read for 30 seconds",
                            "read them while sending, or ask for acks=summary"});
        });
        exchange_->on_unsent_below(kUnreadAcksBytesMax / 2, [self = shared_from_this()] {
            self->waiting_for_reader_ = false;
            self->exchange_->set_timer(std::chrono::milliseconds(0), nullptr);
            self->pump();
        });
    }

    void read_more() {
        reading_ = true;
        exchange_->read_body(kReadBytesMax,
                             [self = shared_from_this()](Result<http::BodyChunk> chunk) {
                                 self->take(std::move(chunk));
                             });
    }

    void take(Result<http::BodyChunk> chunk) {
        reading_ = false;
        if (input_ended_) return pump();
        if (!chunk) {
            // Where the peer is gone nobody reads an error; its last line may be half a line.
            if (chunk.error().code == Code::io) return end_input();
            return end_with(chunk.error());
        }
        piece_bytes_ = chunk->bytes != nullptr ? chunk->bytes->size() : 0;
        splitter_.feed(
            chunk->bytes != nullptr ? std::move(chunk->bytes) : std::make_shared<std::string>(),
            chunk->last);
        pump();
    }

    void end_input() {
        input_ended_ = true;
        pump();
    }

    // The stream ends here, for a reason that is told in place of the next line.
    void end_with(Error error) {
        if (finished_ || input_ended_) return;
        auto unit = std::make_shared<Unit>();
        unit->batch = std::make_shared<WriteBatch>();
        unit->errors.push_back({0, splitter_.number() + 1, std::move(error)});
        units_.push_back(std::move(unit));
        input_ended_ = true;
        answer_units();
    }

    // Hands the lines that are there to the log. False where there are none.
    bool submit_unit() {
        auto batch = std::make_unique<WriteBatch>();
        auto unit = std::make_shared<Unit>();
        const std::string* kept = nullptr;
        std::size_t guards = 0;
        while (batch->records.size() < kUnitLinesMax && guards < kUnitGuardsMax &&
               unit->errors.size() < kUnitLinesMax && unit->bytes < kUnitBytesMax) {
            std::optional<Line> line = splitter_.next();
            if (!line) break;
            unit->bytes += line->size;
            WriteRecord& record = batch->records.emplace_back();
            record.line = options_.session_line - 1 + line->number;
            record.settings_seq = settings_seq_;
            Status status = parser_.parse(*line, *batch, record);
            if (status) {
                if (record.guard != nullptr) ++guards;
                if (line->owner.get() != kept) {
                    kept = line->owner.get();
                    batch->keep_alive(std::move(line->owner));
                }
                continue;
            }
            batch->records.pop_back();
            unit->errors.push_back(
                {batch->records.size(), line->number, std::move(status).error()});
            if (options_.skip_errors) continue;
            input_ended_ = true;  // nothing behind it is written
            break;
        }
        if (batch->records.empty() && unit->errors.empty()) return false;
        units_.push_back(unit);
        units_bytes_ += unit->bytes;
        if (batch->records.empty()) {
            unit->batch = std::move(batch);
            answer_units();
        } else {
            append(unit, std::move(batch), false);
        }
        return true;
    }

    // again: these are records of a unit that were handed back because settings had changed.
    void append(const std::shared_ptr<Unit>& unit, std::unique_ptr<WriteBatch> batch, bool again) {
        batch->stream = stream_;
        // Behind a large piece the next one is there already: this thread goes on parsing, and
        // another one commits. Behind a small one the peer waits for its acks, most likely, and a
        // wake-up would only make that longer.
        // It commits once a call: what the first commit woke is not to wait for a second sync.
        const bool leads = splitter_.ended() || piece_bytes_ < kLeadBelowBytes;
        batch->may_lead = leads && !std::exchange(led_, leads);
        unit->under_way = true;
        batch->done = [self = shared_from_this(), unit, again](std::unique_ptr<WriteBatch> back) {
            // std::function must be copyable, so the batch changes hands.
            std::shared_ptr<WriteBatch> shared = std::move(back);
            self->exchange_->post([self, unit, shared, again] {
                shared->done = nullptr;  // it holds this object
                (again ? unit->again : unit->batch) = shared;
                self->answered(*unit);
            });
        };
        if (context_.log.guards_in_memory(*batch)) return hand_in(std::move(batch));
        looking_ = true;
        look_at_guards(context_, exchange_, std::move(batch),
                       [self = shared_from_this()](std::unique_ptr<WriteBatch> looked) {
                           self->looking_ = false;
                           self->hand_in(std::move(looked));
                           self->pump();
                       });
    }

    void hand_in(std::unique_ptr<WriteBatch> batch) {
        exchange_->outcome_is_open();
        context_.log.append(std::move(batch));
    }

    void answered(Unit& unit) {
        unit.under_way = false;
        if (unit.again != nullptr) {
            for (std::size_t i = 0; i < unit.retried.size(); ++i) {
                unit.batch->results[unit.retried[i]] = std::move(unit.again->results[i]);
            }
            unit.retried.clear();
            unit.again.reset();
        }
        for (const WriteResult& result : unit.batch->results) {
            if (result.outcome == WriteResult::Outcome::stale_settings) stale_ = true;
        }
        answer_units();
    }

    // Writes the answers of the units in front that have one.
    void answer_units() {
        while (!units_.empty() && !units_.front()->under_way && !looking_up_) {
            const std::shared_ptr<Unit> unit = units_.front();
            if (stale_ && retry_stale(unit)) return;
            if (look_up_lines(unit) || look_up_details(unit)) return;
            std::string out;
            report_.add(*unit->batch, unit->errors, unit->details, out);
            if (!out.empty()) exchange_->write(std::move(out));
            units_bytes_ -= unit->bytes;
            units_.pop_front();
        }
        if (units_.empty()) stale_ = false;
        pump();
    }

    // Settings changed: whatever was under way comes back unjudged. Once all of it is back, it is
    // handed in again in its order, with nothing new in between. True: wait.
    bool retry_stale(const std::shared_ptr<Unit>& unit) {
        for (const auto& other : units_) {
            if (other->under_way) return true;
        }
        if (unit->retries++ == kStaleRetriesMax) return false;  // told as an error
        auto again = std::make_unique<WriteBatch>();
        settings_seq_ = context_.log.settings_seq();
        for (std::size_t i = 0; i < unit->batch->results.size(); ++i) {
            if (unit->batch->results[i].outcome != WriteResult::Outcome::stale_settings) continue;
            unit->retried.push_back(i);
            again->records.push_back(unit->batch->records[i]);
            again->records.back().settings_seq = settings_seq_;
        }
        if (unit->retried.empty()) return false;
        again->keep_alive(unit->batch);
        append(unit, std::move(again), true);
        return true;
    }

    // Lines of a session that were written by an earlier connection: the log may know that they
    // were without knowing where. True: wait.
    bool look_up_lines(const std::shared_ptr<Unit>& unit) {
        if (options_.session.empty() || unit->lines_found || !lacks_seqs(*unit->batch))
            return false;
        looking_up_ = true;
        unit->lines_found = true;
        auto found = std::make_shared<std::vector<Log::SessionLine>>();
        exchange_->run_blocking(
            [self = shared_from_this(), unit, found] {
                const auto [first, last] = lines_without_seq(*unit->batch);
                auto lines = self->context_.log.session_lines(self->options_.session, first, last,
                                                              self->options_.session_after);
                // Without an answer (too far back, above all) the lines stay acknowledged as
                // duplicates, with seq 0.
                if (lines) *found = *std::move(lines);
            },
            [self = shared_from_this(), unit, found] {
                fill_lines(*unit->batch, *found);
                self->looking_up_ = false;
                self->answer_units();
            });
        return true;
    }

    // What only the disk knows of the conflicts in it. True: wait.
    bool look_up_details(const std::shared_ptr<Unit>& unit) {
        if (unit->details_found || !has_conflict(*unit->batch)) return false;
        looking_up_ = true;
        unit->details_found = true;
        auto found = std::make_shared<ConflictDetails>();
        exchange_->run_blocking(
            [self = shared_from_this(), unit, found] {
                *found = conflict_details(self->context_.log, *unit->batch);
            },
            [self = shared_from_this(), unit, found] {
                unit->details = std::move(*found);
                self->looking_up_ = false;
                self->answer_units();
            });
        return true;
    }

    static bool lacks_seqs(const WriteBatch& batch) {
        for (const WriteResult& result : batch.results) {
            if (result.outcome == WriteResult::Outcome::duplicate && result.seq.value == 0) {
                return true;
            }
        }
        return false;
    }

    static std::pair<std::uint64_t, std::uint64_t> lines_without_seq(const WriteBatch& batch) {
        std::pair<std::uint64_t, std::uint64_t> lines{0, 0};
        for (std::size_t i = 0; i < batch.results.size(); ++i) {
            const WriteResult& result = batch.results[i];
            if (result.outcome != WriteResult::Outcome::duplicate || result.seq.value != 0)
                continue;
            if (lines.first == 0) lines.first = batch.records[i].line;
            lines.second = batch.records[i].line;
        }
        return lines;
    }

    static void fill_lines(WriteBatch& batch, const std::vector<Log::SessionLine>& found) {
        std::size_t at = 0;
        for (std::size_t i = 0; i < batch.results.size(); ++i) {
            const std::uint64_t line = batch.records[i].line;
            while (at < found.size() && found[at].line < line) ++at;
            if (at == found.size()) return;
            WriteResult& result = batch.results[i];
            const bool lacking =
                result.outcome == WriteResult::Outcome::duplicate && result.seq.value == 0;
            if (!lacking || found[at].line != line) continue;
            result.seq = found[at].seq;
            result.version = found[at].version;
        }
    }

    void finish() {
        finished_ = true;
        exchange_->set_timer(std::chrono::milliseconds(0), nullptr);
        if (exchange_->closed()) return;
        if (options_.summary) {
            answer_json(exchange_, 200, report_.summary());
        } else {
            exchange_->finish();
        }
    }

    const Context& context_;
    ExchangePtr exchange_;
    StreamOptions options_;
    LineSplitter splitter_;
    LineParser parser_;
    std::size_t piece_bytes_ = 0;  // of the newest piece of the body
    StreamReport report_;
    std::shared_ptr<WriteStream> stream_;
    std::uint64_t settings_seq_;
    std::deque<std::shared_ptr<Unit>> units_;  // in the order of their lines
    std::size_t units_bytes_ = 0;
    BodyBudget::Share share_;
    bool held_back_ = false;  // until the units that are under way are answered
    bool pumping_ = false;
    bool led_ = false;  // this call of pump() has committed
    bool reading_ = false;
    bool input_ended_ = false;  // nothing more is handed to the log
    bool stale_ = false;
    bool looking_up_ = false;
    bool looking_ = false;  // at the guards of a batch: nothing may overtake it
    bool waiting_for_reader_ = false;
    bool finished_ = false;
};

}  // namespace

void produce_stream(const Context& context, const ExchangePtr& exchange, StreamOptions options) {
    std::make_shared<ProduceStream>(context, exchange, std::move(options))->start();
}

}  // namespace klog::api
