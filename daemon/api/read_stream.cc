#include "daemon/api/read_stream.h"

#include <algorithm>

#include "daemon/api/record_writer.h"
#include "segment/batch_format.h"

namespace klog::api {
namespace {

// One step of a read, and what may wait for a slow peer before the next one.
constexpr std::size_t kStepBytesMax = 256 * 1024;
constexpr int kReadsPerStep = 64;
constexpr std::size_t kUnsentBytesMax = 512 * 1024;
constexpr std::chrono::milliseconds kHeartbeat{15'000};

using Form = ReadRequest::Form;

std::string_view media_type(Form form) {
    if (form == Form::frames) return kBatchMediaType;
    return form == Form::events ? kEventStream : kNdjson;
}

std::unique_ptr<RecordWriter> make_writer(const ReadRequest& request) {
    if (request.form == Form::frames) return make_batch_writer();
    return make_text_writer(request.form == Form::events, request.marks);
}

// What one step found, rendered.
struct Step {
    std::string text;
    Seq read_to;
    Seq head;
    std::uint64_t records = 0;
    bool end = false;
    std::optional<Error> error;
};

// While it waits, the exchange (its callbacks) keeps it alive; at the end it lets go of exchange
// and reader, so that neither keeps the other.
class ReadStream : public std::enable_shared_from_this<ReadStream> {
public:
    ReadStream(const Context& context, ExchangePtr exchange, ReadRequest request)
        : context_(context),
          exchange_(std::move(exchange)),
          request_(std::move(request)),
          writer_(make_writer(request_)),
          left_(request_.limit) {
        const ReadRequest any;
        const bool all_versions = request_.version_first == any.version_first &&
                                  request_.version_last == any.version_last;
        request_.options.stored_blocks = writer_->takes_blocks() && all_versions;
    }

    void start() {
        exchange_->on_closed([self = shared_from_this()] { self->let_go(); });
        exchange_->on_drain([self = shared_from_this()] { self->drain(); });
        using From = ReadFrom::Form;
        const From from = request_.options.from.form;
        if (from != From::time && from != From::last && !request_.options.until_time) {
            return opened(context_.log.read(request_.options));
        }
        // Searching for a start point may read the disk.
        auto reader = std::make_shared<std::optional<Result<std::unique_ptr<Reader>>>>();
        exchange_->run_blocking(
            [self = shared_from_this(), reader] {
                reader->emplace(self->context_.log.read(self->request_.options));
            },
            [self = shared_from_this(), reader] { self->opened(std::move(**reader)); });
    }

private:
    void opened(Result<std::unique_ptr<Reader>> reader) {
        if (exchange_ == nullptr) return;
        if (!reader) return refuse(std::move(reader).error());
        reader_ = std::move(*reader);
        read_to_ = reader_->begin_after();
        step();
    }

    // Nothing was sent yet: an ordinary problem document.
    void refuse(Error error) {
        error = explain_filter(std::move(error), request_.options.filters);
        answer_error(exchange_, error);
        let_go();
    }

    void step() {
        if (exchange_ == nullptr || stepping_) return;
        stepping_ = true;
        if (reader_->ready_in_memory()) return stepped(make_step());
        auto made = std::make_shared<Step>();
        exchange_->run_blocking(
            read_to_.value, [self = shared_from_this(), made] { *made = self->make_step(); },
            [self = shared_from_this(), made] { self->stepped(std::move(*made)); });
    }

    // Reads and renders. On any thread, one step at a time. Blocks that are passed on as they are
    // stored come a few at a time, so a step goes on until it has found enough or looked enough.
    Step make_step() {
        Step step;
        std::uint64_t left = left_;
        for (int reads = 0; reads < kReadsPerStep && !step.end && left > 0; ++reads) {
            Result<ReadChunk> chunk = reader_->read(kStepBytesMax, static_cast<std::size_t>(left));
            if (!chunk) {
                step.error = std::move(chunk).error();
                return step;
            }
            const std::uint64_t before = step.records;
            render(*chunk, step);
            left -= std::min(left, step.records - before);
            step.read_to = chunk->read_to;
            step.head = chunk->head;
            step.end = step.end || chunk->end;
            const bool dry = chunk->records.empty() && chunk->blocks.empty();
            if (!request_.options.stored_blocks || dry || step.read_to >= step.head) break;
            if (step.text.size() >= kStepBytesMax) break;
        }
        return step;
    }

    void render(const ReadChunk& chunk, Step& step) {
        if (step.text.empty() && !chunk.records.empty()) step.text.reserve(kStepBytesMax / 4);
        for (const RecordView& record : chunk.records) {
            if (record.version.value > request_.version_last) step.end = true;
            if (step.end) break;
            if (record.version.value < request_.version_first) continue;
            writer_->record(step.text, record);
            ++step.records;
        }
        for (const StoredBlock& block : chunk.blocks) {
            writer_->block(step.text, block);
            step.records += block.count;
        }
        writer_->close(step.text);
    }

    void stepped(Step step) {
        stepping_ = false;
        if (exchange_ == nullptr) {
            reader_.reset();
            return;
        }
        if (step.error && step.text.empty()) return fail(*step.error);
        if (!begun_ && begin()) return;
        if (step.error) {  // what came before it is sound
            exchange_->write(std::move(step.text));
            return fail(*step.error);
        }
        left_ -= std::min(left_, step.records);
        read_to_ = step.read_to;
        const bool cut = left_ == 0;
        const bool caught_up = step.read_to >= step.head;
        if (!cut) add_marks(step, caught_up);
        if (cut || step.end) writer_->end(step.text, cut);
        if (!step.text.empty()) exchange_->write(std::move(step.text));
        if (cut || step.end) return end();
        if (request_.options.follow && caught_up) return wait();
        go_on();
    }

    // Marks and heartbeats stand behind the records of their step.
    void add_marks(Step& step, bool caught_up) {
        const bool marks = request_.marks || request_.form == Form::frames;
        const bool first_time = caught_up && !told_caught_up_ && request_.options.follow;
        if (marks && (step.end || first_time)) {
            const Seq upto = step.end ? std::max(step.read_to, end_at()) : step.read_to;
            writer_->mark(step.text, upto, caught_up && upto == step.head);
            told_caught_up_ = true;
            heartbeat_due_ = false;
        }
        if (!heartbeat_due_ || step.end) return;
        heartbeat_due_ = false;
        if (exchange_->unsent_bytes() < kUnsentBytesMax) {
            writer_->heartbeat(step.text, step.read_to, step.read_to == step.head);
        }
    }

    [[nodiscard]] Seq end_at() const {
        if (request_.options.follow) return reader_->begin_after();
        return std::max(reader_->begin_after(), reader_->end_at());
    }

    // True where the head is the whole answer.
    bool begin() {
        begun_ = true;
        std::vector<std::pair<std::string, std::string>> headers;
        if (!request_.options.follow && request_.read_to_head) {
            headers.emplace_back("Klog-Read-To", std::to_string(end_at().value));
        }
        if (request_.form == Form::events) headers.emplace_back("Cache-Control", "no-store");
        std::string type(media_type(request_.form));
        if (exchange_->request().method == "HEAD") {
            http::Response response;
            response.content_type = std::move(type);
            response.headers = std::move(headers);
            exchange_->respond(std::move(response));
            let_go();
            return true;
        }
        exchange_->start_stream(200, std::move(type), std::move(headers));
        restart_heartbeat();
        return false;
    }

    void restart_heartbeat() {
        exchange_->set_timer(kHeartbeat, [self = shared_from_this()] {
            if (self->exchange_ == nullptr) return;
            self->heartbeat_due_ = true;
            self->restart_heartbeat();
            if (self->waiting_) self->woken();  // looks again, so that the heartbeat says how far
        });
    }

    // As soon as the peer has taken enough.
    void go_on() {
        exchange_->on_unsent_below(kUnsentBytesMax, [self = shared_from_this()] { self->step(); });
    }

    // Until there is something new.
    void wait() {
        waiting_ = true;
        woken_at_once_ = false;
        const std::weak_ptr<ReadStream> weak = weak_from_this();
        const std::weak_ptr<http::Exchange> exchange = exchange_;
        arming_ = true;
        reader_->on_ready([weak, exchange] {
            if (const auto alive = exchange.lock()) {
                alive->post([weak] {
                    if (const auto self = weak.lock()) self->woken();
                });
            }
        });
        arming_ = false;
        if (woken_at_once_) woken();
    }

    void woken() {
        if (!waiting_ || exchange_ == nullptr) return;
        if (arming_) {
            woken_at_once_ = true;
            return;
        }
        waiting_ = false;
        reader_->on_ready(nullptr);
        // Not at once: under a busy writer steps and wake-ups would nest without end.
        if (woken_at_once_) return go_on();
        if (exchange_->unsent_bytes() > kUnsentBytesMax) return go_on();
        step();
    }

    // Followers end with what is complete. A read that does not follow must not look complete when
    // it is not; it has until the server's own limit.
    void drain() {
        if (exchange_ == nullptr || !request_.options.follow || !begun_) return;
        std::string text;
        writer_->end(text, true);
        if (!text.empty()) exchange_->write(std::move(text));
        end();
    }

    // A broken answer must not look like a whole one: the connection ends without the last chunk.
    void fail(const Error& error) {
        if (!begun_) return refuse(error);
        std::string text;
        writer_->failure(text, error);
        exchange_->write(std::move(text));
        const ExchangePtr exchange = exchange_;
        exchange->on_unsent_below(0, [exchange] { exchange->abort(); });
        let_go();
    }

    void end() {
        exchange_->finish();
        let_go();
    }

    void let_go() {
        if (exchange_ == nullptr) return;
        if (begun_ && !exchange_->closed()) {
            exchange_->set_timer(std::chrono::milliseconds(0), nullptr);
        }
        waiting_ = false;
        exchange_.reset();
        if (reader_ == nullptr || stepping_) return;  // stepped() lets go of the reader
        reader_->on_ready(nullptr);
        reader_.reset();
    }

    const Context& context_;
    ExchangePtr exchange_;
    ReadRequest request_;
    std::unique_ptr<RecordWriter> writer_;
    std::unique_ptr<Reader> reader_;
    std::uint64_t left_;
    Seq read_to_;
    bool begun_ = false;     // the head was sent
    bool stepping_ = false;  // a step is being made, perhaps on another thread
    bool waiting_ = false;
    bool arming_ = false;         // within on_ready, which may call back at once
    bool woken_at_once_ = false;  // it did
    bool heartbeat_due_ = false;
    bool told_caught_up_ = false;
};

}  // namespace

void stream_records(const Context& context, const ExchangePtr& exchange, ReadRequest request) {
    std::make_shared<ReadStream>(context, exchange, std::move(request))->start();
}

}  // namespace klog::api
