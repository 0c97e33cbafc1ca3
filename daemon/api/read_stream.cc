#include "daemon/api/read_stream.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "daemon/api/record_writer.h"
#include "segment/batch_format.h"

namespace klog::api {
namespace {

// One step of a read, and what may wait for a slow peer before the next one.
constexpr std::size_t kStepBytesMax = 256 * 1024;
constexpr int kReadsPerStep = 64;
constexpr std::size_t kUnsentBytesMax = 512 * 1024;
// Where peers together have left more than this untaken, each read goes on only once its own peer
// has taken all, and by small steps: ten thousand that do not read must not fill the memory.
constexpr std::size_t kUnsentOfAllMax = 64 * 1024 * 1024;
constexpr std::size_t kCrowdedStepBytesMax = 8 * 1024;
// What a record is rendered to beside its topic, key and value, about.
constexpr std::size_t kRenderedRestBytes = 160;
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
    Seq sent;  // the last record in it; 0: there is none
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
        request_.options.stored_blocks = writer_->takes_blocks();
    }

    void start() {
        exchange_->on_closed([self = shared_from_this()] { self->let_go(); });
        exchange_->on_drain([self = shared_from_this()] { self->drain(); });
        using From = ReadFrom::Form;
        const From from = request_.options.from.form;
        const bool searches = from == From::time || from == From::last ||
                              request_.options.until_time || request_.history;
        if (!searches) return opened(open());
        // Searching for a start point may read the disk.
        auto reader = std::make_shared<std::optional<Result<std::unique_ptr<Reader>>>>();
        exchange_->run_blocking(
            [self = shared_from_this(), reader] { reader->emplace(self->open()); },
            [self = shared_from_this(), reader] { self->opened(std::move(**reader)); });
    }

private:
    [[nodiscard]] Result<std::unique_ptr<Reader>> open() const {
        if (request_.history) return context_.log.history(*request_.history);
        return context_.log.read(request_.options);
    }

    void opened(Result<std::unique_ptr<Reader>> reader) {
        if (exchange_ == nullptr) return;
        if (!reader) return refuse(std::move(reader).error());
        reader_ = std::move(*reader);
        read_to_ = reader_->begin_after();
        sent_ = read_to_;
        step();
    }

    // Nothing was sent yet: an ordinary problem document.
    void refuse(Error error) {
        error = explain_filter(std::move(error), request_.options.filters);
        const bool no_key = request_.history && error.code == Code::not_found;
        answer_error(exchange_, error, no_key ? R"("state":"absent")" : "");
        let_go();
    }

    void step() {
        if (exchange_ == nullptr || stepping_) return;
        stepping_ = true;
        step_bytes_max_ = crowded() ? kCrowdedStepBytesMax : kStepBytesMax;
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
            Result<ReadChunk> chunk =
                reader_->read(step_bytes_max_, static_cast<std::size_t>(left));
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
            if (step.text.size() >= step_bytes_max_) break;
        }
        return step;
    }

    void render(const ReadChunk& chunk, Step& step) {
        if (step.text.empty()) step.text.reserve(room_for(chunk));
        for (const RecordView& record : chunk.records) {
            writer_->record(step.text, record);
            step.sent = record.seq;
            ++step.records;
        }
        for (const StoredBlock& block : chunk.blocks) {
            writer_->block(step.text, block);
            step.sent = block.last_seq;
            step.records += block.count;
        }
        writer_->close(step.text);
    }

    // Many steps have one short record, which may wait in memory for its peer.
    static std::size_t room_for(const ReadChunk& chunk) {
        std::size_t bytes = 0;
        for (const RecordView& record : chunk.records) {
            bytes += record.topic.size() + record.key.size() + record.value.size();
            bytes += kRenderedRestBytes;
            if (bytes >= kStepBytesMax / 4) return kStepBytesMax / 4;
        }
        return bytes;
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
        sent_ = std::max(sent_, step.sent);
        if (!tell([this](ReadObserver& observer) { observer.looked(sent_, read_to_); })) return;
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

    // True where the answer is over: the head was all of it, or the observer ended it.
    bool begin() {
        begun_ = true;
        std::vector<std::pair<std::string, std::string>> headers;
        if (!request_.options.follow && request_.read_to_head) {
            headers.emplace_back("Klog-Read-To", std::to_string(end_at().value));
        }
        if (request_.form == Form::events) headers.emplace_back("Cache-Control", "no-store");
        if (request_.observer) {
            for (auto& header : request_.observer->headers()) headers.push_back(std::move(header));
        }
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
        next_heartbeat(first_heartbeat());
        return !tell([this](ReadObserver& observer) { observer.begun(stopper()); });
    }

    // False where the observer ended the answer from within the call: it ends once that returned.
    template <class Call>
    bool tell(Call&& call) {
        if (!request_.observer) return true;
        telling_ = true;
        call(*request_.observer);
        telling_ = false;
        if (!stopped_) return true;
        fail(*stopped_);
        return false;
    }

    void stop(const Error& error) {
        if (exchange_ == nullptr) return;
        if (telling_) {
            stopped_ = error;
        } else {
            fail(error);
        }
    }

    // Ends the answer with an error, from any thread.
    std::function<void(Error)> stopper() {
        return [weak = weak_from_this(), exchange = std::weak_ptr(exchange_)](Error error) {
            const auto alive = exchange.lock();
            if (alive == nullptr) return;
            alive->post([weak, error = std::move(error)] {
                if (const auto self = weak.lock()) self->stop(error);
            });
        };
    }

    // Ten thousand who came at once must not all be due at once for ever: the first heartbeat comes
    // after half of the time to all of it, as the place in memory has it.
    [[nodiscard]] std::chrono::milliseconds first_heartbeat() const {
        constexpr std::uint64_t kSpread = 0x9E3779B97F4A7C15U;  // 2^64 / golden ratio
        const auto place = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(this));
        const std::uint64_t share = (place * kSpread) >> 48U;  // of 2^16
        return kHeartbeat - kHeartbeat / 2 * static_cast<std::int64_t>(share) / 65'536;
    }

    void next_heartbeat(std::chrono::milliseconds after) {
        exchange_->set_timer(after, [self = shared_from_this()] {
            if (self->exchange_ == nullptr) return;
            self->heartbeat_due_ = true;
            self->next_heartbeat(kHeartbeat);
            if (self->waiting_) self->woken();  // looks again, so that the heartbeat says how far
        });
    }

    [[nodiscard]] bool crowded() const {
        return exchange_->unsent_bytes_of_all() > kUnsentOfAllMax;
    }
    [[nodiscard]] std::size_t unsent_max() const { return crowded() ? 0 : kUnsentBytesMax; }

    // As soon as the peer has taken enough.
    void go_on() {
        exchange_->on_unsent_below(unsent_max(), [self = shared_from_this()] { self->step(); });
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
                alive->post_late([weak] {
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
        if (exchange_->unsent_bytes() > unsent_max()) return go_on();
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
        if (const auto observer = std::exchange(request_.observer, nullptr)) observer->ended();
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
    std::size_t step_bytes_max_ = kStepBytesMax;
    Seq read_to_;
    Seq sent_;
    bool begun_ = false;     // the head was sent
    bool stepping_ = false;  // a step is being made, perhaps on another thread
    bool waiting_ = false;
    bool arming_ = false;           // within on_ready, which may call back at once
    bool woken_at_once_ = false;    // it did
    bool telling_ = false;          // within a call to the observer, which may stop the answer
    std::optional<Error> stopped_;  // it did
    bool heartbeat_due_ = false;
    bool told_caught_up_ = false;
};

}  // namespace

void stream_records(const Context& context, const ExchangePtr& exchange, ReadRequest request) {
    std::make_shared<ReadStream>(context, exchange, std::move(request))->start();
}

}  // namespace klog::api
