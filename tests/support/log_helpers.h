// Short ways to write to a log and to read it, for tests that run on one thread or many.
#ifndef KLOG_TESTS_SUPPORT_LOG_HELPERS_H
#define KLOG_TESTS_SUPPORT_LOG_HELPERS_H

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "klog/log.h"

namespace klog::test {

struct Put {
    std::string topic = {};
    std::string key = {};  // empty: none
    std::string value = "1";
    std::string id = {};
    Expect expect = {};
    Kind kind = Kind::plain;
    std::uint64_t line = 0;
    std::string headers = {};
    std::optional<FilterGuard> guard = {};
};

inline Expect expect_version(std::uint64_t version) { return {Expect::Form::version, version}; }
inline Expect expect_absent() { return {Expect::Form::absent, 0}; }
inline Expect expect_exists() { return {Expect::Form::exists, 0}; }

inline std::unique_ptr<WriteBatch> make_batch(const std::vector<Put>& puts,
                                              std::shared_ptr<WriteStream> stream = nullptr) {
    auto batch = std::make_unique<WriteBatch>();
    for (const Put& put : puts) {
        WriteRecord record;
        record.topic = batch->keep(put.topic);
        record.has_key = !put.key.empty();
        record.key = batch->keep(put.key);
        record.id = batch->keep(put.id);
        record.value = batch->keep(put.value);
        record.headers = batch->keep(put.headers);
        record.expect = put.expect;
        record.kind = put.kind;
        record.line = put.line;
        if (put.guard) record.guard = batch->keep(*put.guard);
        batch->records.push_back(record);
    }
    batch->stream = std::move(stream);
    return batch;
}

// A batch that was appended and may not be answered yet.
class Pending {
public:
    Pending(Log& log, std::unique_ptr<WriteBatch> batch) : state_(std::make_shared<State>()) {
        batch->done = [state = state_](std::unique_ptr<WriteBatch> done) {
            const std::lock_guard lock(state->mutex);
            state->results = done->results;
            ++state->answers;
            state->changed.notify_all();
        };
        log.append(std::move(batch));
    }
    [[nodiscard]] bool answered() const {
        const std::lock_guard lock(state_->mutex);
        return state_->answers > 0;
    }
    // False: no answer within what any test waits for one.
    [[nodiscard]] bool answered_in_time() const {
        std::unique_lock lock(state_->mutex);
        return state_->changed.wait_for(lock, std::chrono::seconds(30),
                                        [&] { return state_->answers > 0; });
    }
    std::vector<WriteResult> wait() {
        std::unique_lock lock(state_->mutex);
        state_->changed.wait(lock, [&] { return state_->answers > 0; });
        return state_->results;
    }

private:
    struct State {
        std::mutex mutex;
        std::condition_variable changed;
        std::vector<WriteResult> results;
        int answers = 0;
    };
    std::shared_ptr<State> state_;
};

inline std::vector<WriteResult> write(Log& log, const std::vector<Put>& puts,
                                      std::shared_ptr<WriteStream> stream = nullptr) {
    return Pending(log, make_batch(puts, std::move(stream))).wait();
}

inline WriteResult write_one(Log& log, const Put& put) { return write(log, {put}).at(0); }

// A record that owns its bytes and can be compared.
struct Got {
    std::uint64_t seq = 0;
    std::uint64_t version = 0;
    std::string topic;
    std::string key;
    std::string value;
    std::string id;
    friend bool operator==(const Got&, const Got&) = default;
};

inline Got copy(const RecordView& record) {
    return Got{record.seq.value,        record.version.value,      std::string(record.topic),
               std::string(record.key), std::string(record.value), std::string(record.id)};
}

// Reads until the end, or for a follower until nothing more is there.
inline Result<std::vector<Got>> read_all(Reader& reader, std::size_t records_max = 100) {
    std::vector<Got> all;
    for (;;) {
        KLOG_TRY_ASSIGN(const ReadChunk chunk, reader.read(64U * 1024, records_max));
        for (const RecordView& record : chunk.records) all.push_back(copy(record));
        if (chunk.end) return all;
        if (chunk.records.empty() && chunk.read_to >= chunk.head) return all;
    }
}

inline Result<std::vector<Got>> read_all(Log& log, ReadOptions options = {}) {
    KLOG_TRY_ASSIGN(const std::unique_ptr<Reader> reader, log.read(options));
    return read_all(*reader);
}

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_LOG_HELPERS_H
