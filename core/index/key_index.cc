#include "index/key_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "index/key_index_runs.h"
#include "index/key_index_tables.h"

namespace klog {
namespace {

using key_index_db::Database;
using key_index_db::MergeStep;
using key_index_db::Run;
using key_index_db::Use;

std::string hex(const std::array<std::uint8_t, 16>& bytes) {
    std::string out;
    for (const std::uint8_t byte : bytes) out += fmt::format("{:02x}", byte);
    return out;
}

std::uint64_t sql_limit(std::size_t limit) {
    return std::min<std::uint64_t>(limit, std::numeric_limits<std::int64_t>::max());
}

Status find_topics(Database& database, std::string_view prefix, std::string_view after,
                   std::size_t limit, std::vector<TopicRowOfIndex>& rows) {
    const bool is_after = !after.empty() && after >= prefix;
    const std::string end = key_index_db::prefix_end(prefix);
    Use scan(is_after ? database.statements.topics_after : database.statements.topics_from);
    scan->bind(1, is_after ? after : prefix);
    if (end.empty()) {
        scan->bind_end(2);
    } else {
        scan->bind(2, end);
    }
    scan->bind(3, sql_limit(limit));
    for (;;) {
        KLOG_TRY_ASSIGN(const bool row, scan->step());
        if (!row) return {};
        rows.emplace_back(scan->text(0), TopicCount{scan->integer(1), Seq{scan->integer(2)},
                                                    Seq{scan->integer(3)}});
    }
}

Status find_topic(Database& database, std::string_view topic, TopicCount& count) {
    Use find(database.statements.find_topic);
    find->bind(1, topic);
    KLOG_TRY_ASSIGN(const bool row, find->step());
    if (row) count = TopicCount{find->integer(0), Seq{find->integer(1)}, Seq{find->integer(2)}};
    return {};
}

class KeyIndexImpl final : public KeyIndex {
public:
    KeyIndexImpl(std::string path, const std::array<std::uint8_t, 16>& store_uuid)
        : path_(std::move(path)), uuid_(hex(store_uuid)) {}

    [[nodiscard]] Result<Seq> watermark() override {
        const MutexLock lock(mutex_);
        KLOG_TRY(ensure_open());
        return database_->watermark;
    }
    [[nodiscard]] Seq known_watermark() const override { return Seq{known_watermark_.load()}; }
    [[nodiscard]] KeyIndexStats stats() const override {
        return {Seq{known_watermark_.load()}, keys_.load(), runs_.load(), merges_.load(),
                merged_keys_.load()};
    }

    Status apply(const KeyIndexDelta& delta) override;
    Result<std::uint64_t> merge_step(std::uint64_t keys_max) override;

    [[nodiscard]] Result<Listed<std::string>> keys(std::string_view space, std::string_view prefix,
                                                   std::string_view after,
                                                   std::size_t limit) override {
        Listed<std::string> listed;
        const Look list = [&](Database& database) -> Status {
            KLOG_TRY_ASSIGN(listed.upto, database.read_watermark());
            KLOG_TRY_ASSIGN(listed.rows,
                            key_index_db::list_keys(database, space, prefix, after, limit));
            return {};
        };
        KLOG_TRY(look(list));
        return listed;
    }

    [[nodiscard]] Result<Listed<TopicRowOfIndex>> topics(std::string_view prefix,
                                                         std::string_view after,
                                                         std::size_t limit) override {
        Listed<TopicRowOfIndex> listed;
        const Look list = [&](Database& database) -> Status {
            KLOG_TRY_ASSIGN(listed.upto, database.read_watermark());
            return find_topics(database, prefix, after, limit, listed.rows);
        };
        KLOG_TRY(look(list));
        return listed;
    }

    [[nodiscard]] Result<TopicCount> topic(std::string_view topic) override {
        TopicCount count;
        KLOG_TRY(look([&](Database& database) { return find_topic(database, topic, count); }));
        return count;
    }

    Status reset() override {
        const MutexLock lock(mutex_);
        KLOG_TRY(remove());
        return ensure_open();
    }

    [[nodiscard]] std::vector<std::string> take_notices() override {
        const MutexLock lock(mutex_);
        return std::exchange(notices_, {});
    }

private:
    using Look = std::function<Status(Database&)>;

    [[nodiscard]] bool in_memory() const { return path_ == key_index_db::kInMemory; }
    Status ensure_open() KLOG_REQUIRES(mutex_);
    Status open_once() KLOG_REQUIRES(mutex_);
    // Both connections; the second one also deletes what they were open to.
    void close() KLOG_REQUIRES(mutex_);
    Status remove() KLOG_REQUIRES(mutex_);
    // What stats() and known_watermark() say from now on.
    void publish() KLOG_REQUIRES(mutex_);
    // Deletes a database that turned out to be broken; the error goes on to the caller, for whom
    // the watermark is 0 from now on. After an error of the disk it is opened anew, so that the
    // watermark is what the disk says.
    Error failed(Error error) KLOG_REQUIRES(mutex_);
    // One moment of the database, through the connection for listings where there is one.
    Status look(const Look& work) KLOG_EXCLUDES(mutex_, reader_mutex_);
    // nullopt: the database of that number is not there any more.
    std::optional<Status> look_aside(std::uint64_t number, const Look& work)
        KLOG_EXCLUDES(reader_mutex_);

    const std::string path_;
    const std::string uuid_;
    // Taken before reader_mutex_ by whoever needs both.
    Mutex mutex_;
    std::unique_ptr<Database> database_ KLOG_GUARDED_BY(mutex_);  // null: not open
    std::vector<std::string> notices_ KLOG_GUARDED_BY(mutex_);
    std::uint64_t opened_ KLOG_GUARDED_BY(mutex_) = 0;  // how often
    Mutex reader_mutex_;
    std::unique_ptr<Database> reader_ KLOG_GUARDED_BY(reader_mutex_);  // null: not open

    // Which opening of the database this is, which tells files apart; 0: it is not open. Changed
    // under both mutexes.
    std::atomic<std::uint64_t> number_{0};
    std::atomic<std::uint64_t> known_watermark_{0};
    std::atomic<std::uint64_t> keys_{0};
    std::atomic<std::uint64_t> runs_{0};
    std::atomic<std::uint64_t> merges_{0};
    std::atomic<std::uint64_t> merged_keys_{0};
};

Status KeyIndexImpl::apply(const KeyIndexDelta& delta) {
    const MutexLock lock(mutex_);
    KLOG_TRY(ensure_open());
    if (delta.after != database_->watermark) {
        return Error{Code::bug,
                     fmt::format("key index {}: stands at {}, where a change begins behind {}",
                                 path_, database_->watermark.value, delta.after.value),
                     ""};
    }
    Status status = database_->apply(delta);
    if (!status.ok()) return failed(std::move(status).error());
    publish();
    return {};
}

Result<std::uint64_t> KeyIndexImpl::merge_step(std::uint64_t keys_max) {
    const MutexLock lock(mutex_);
    KLOG_TRY(ensure_open());
    Result<MergeStep> step = key_index_db::merge_step(*database_, keys_max);
    if (!step.ok()) return failed(std::move(step).error());
    merged_keys_ += step->keys;
    if (step->finished) ++merges_;
    publish();
    return step->keys;
}

Status KeyIndexImpl::open_once() {
    auto database = std::make_unique<Database>();
    KLOG_TRY(database->open_writer(path_, uuid_));
    database_ = std::move(database);
    publish();
    const MutexLock lock(reader_mutex_);
    number_.store(++opened_);
    return {};
}

Status KeyIndexImpl::ensure_open() {
    if (database_ != nullptr) return {};
    Status status = open_once();
    if (status.ok() || status.error().code != Code::corrupt) return status;
    notices_.push_back(fmt::format("{}; it is made anew from the log", status.error().message));
    KLOG_TRY(remove());
    return open_once();
}

void KeyIndexImpl::close() {
    const MutexLock lock(reader_mutex_);
    number_.store(0);
    reader_.reset();
    database_.reset();
    publish();
}

Status KeyIndexImpl::remove() {
    close();
    // Nobody opens it to list while number_ is 0.
    const MutexLock lock(reader_mutex_);
    return key_index_db::remove_files(path_);
}

void KeyIndexImpl::publish() {
    std::uint64_t keys = 0;
    if (database_ != nullptr) {
        for (const Run& run : database_->runs) keys += run.keys;
    }
    keys_.store(keys);
    runs_.store(database_ != nullptr ? database_->runs.size() : 0);
    known_watermark_.store(database_ != nullptr ? database_->watermark.value : 0);
}

Error KeyIndexImpl::failed(Error error) {
    // What is in a database in memory would go with the connection.
    if (error.code == Code::io && !in_memory()) close();
    if (error.code != Code::corrupt) return error;
    notices_.push_back(fmt::format("{}; it is made anew from the log", error.message));
    // Where the file cannot be deleted it is found broken again at the next use.
    if (Status removed = remove(); !removed.ok()) {
        notices_.push_back(removed.error().message);
    }
    return error;
}

Status KeyIndexImpl::look(const Look& work) {
    for (;;) {
        const std::uint64_t number = number_.load();
        if (number == 0 || in_memory()) {
            const MutexLock lock(mutex_);
            KLOG_TRY(ensure_open());
            if (!in_memory()) continue;
            Status looked = work(*database_);
            if (!looked.ok()) return failed(std::move(looked).error());
            return {};
        }
        std::optional<Status> looked = look_aside(number, work);
        if (!looked) continue;
        if (looked->ok()) return {};
        const MutexLock lock(mutex_);
        // Somebody else may have met the damage as well, and the database was made anew.
        if (number_.load() != number) return std::move(*looked);
        return failed(std::move(*looked).error());
    }
}

std::optional<Status> KeyIndexImpl::look_aside(std::uint64_t number, const Look& work) {
    const MutexLock lock(reader_mutex_);
    if (number_.load() != number) return std::nullopt;
    if (reader_ == nullptr) {
        auto made = std::make_unique<Database>();
        Status opened = made->open_reader(path_);
        if (!opened.ok()) return opened;
        reader_ = std::move(made);
    }
    Database& reader = *reader_;
    Status looked = reader.look([&] { return work(reader); });
    if (!looked.ok()) reader_.reset();
    return looked;
}

}  // namespace

std::unique_ptr<KeyIndex> KeyIndex::make(std::string path,
                                         std::array<std::uint8_t, 16> store_uuid) {
    return std::make_unique<KeyIndexImpl>(std::move(path), store_uuid);
}

}  // namespace klog
