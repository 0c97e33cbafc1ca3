// Log over the parts of a store.
#ifndef KLOG_LOG_LOG_IMPL_H
#define KLOG_LOG_LOG_IMPL_H

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "klog/log.h"
#include "log/file_catalog.h"
#include "log/flusher.h"
#include "log/log_consumers.h"
#include "log/log_core.h"
#include "log/log_reader.h"
#include "log/newest_reader.h"
#include "log/pipeline.h"

namespace klog {

class LogImpl final : public Log {
public:
    // Rows a page of a listing may have, and what one step asks the key index for.
    static constexpr std::size_t kPageRowsMax = 10'000;
    // What one question for the lines of a session looks at.
    static constexpr std::uint64_t kSessionScanRecordsMax = 200'000;
    static constexpr std::uint64_t kSessionStepRecords = 4096;

    LogImpl(LogCore& core, Wal& wal, FileCatalog& catalog, Pipeline& pipeline, Flusher& flusher);

    void append(std::unique_ptr<WriteBatch> batch) override;
    bool guards_in_memory(WriteBatch& batch) override;
    void look_at_guards(WriteBatch& batch) override;
    Seq head() const override;
    Result<Seq> head(std::string_view filter) override;
    Result<EntityHead> entity(std::string_view space, std::string_view key) override;
    Result<OwnedRecord> get(std::string_view space, std::string_view key,
                            std::optional<Version> version) override;
    Result<OwnedRecord> record(Seq seq) override;
    Result<std::unique_ptr<Reader>> read(const ReadOptions& options) override;
    Result<std::unique_ptr<Reader>> history(const HistoryOptions& options) override;
    Result<std::unique_ptr<Counter>> counter(const CountOptions& options) override;
    Result<Page<KeyRow>> keys(std::string_view space, std::string_view prefix,
                              std::string_view after, bool deleted, std::size_t limit) override;
    Result<Page<TopicRow>> topics(std::string_view filter, std::string_view after,
                                  std::size_t limit) override;
    Result<std::vector<SessionLine>> session_lines(const SessionId& session,
                                                   std::uint64_t first_line,
                                                   std::uint64_t last_line, Seq after) override;
    Result<Seq> put_setting(std::string_view name, std::string_view value) override;
    std::optional<std::string> setting(std::string_view name) const override;
    std::uint64_t settings_seq() const override;
    Consumers& consumers() override { return consumers_; }
    [[nodiscard]] LogConsumers& log_consumers() { return consumers_; }
    LogStats stats() const override;

    // All settings and consumers, for the next WAL file's header: the seq of the last record of it,
    // and what the consumers take.
    struct Checkpoint {
        Seq seq;
        std::uint64_t consumer_bytes = 0;
    };
    Result<Checkpoint> write_checkpoint();

private:
    [[nodiscard]] FrameSource source() const;
    // Of a read-only log: heads that nobody can know are an error.
    [[nodiscard]] Status check_known(const std::vector<HeadEntry>& heads) const;
    [[nodiscard]] Result<Seq> write_setting(std::string_view topic, std::string_view value);
    [[nodiscard]] Result<OwnedRecord> record_at(Seq seq);
    // One that is older than the newest, which is at last_seq. Searches.
    [[nodiscard]] Result<OwnedRecord> version_of(std::string_view space, std::string_view key,
                                                 Version version, Seq last_seq);
    [[nodiscard]] Status heads_of(const std::vector<Hash128>& hashes,
                                  std::vector<HeadEntry>& heads) const;
    [[nodiscard]] Status read_heads(const std::vector<Hash128>& hashes,
                                    std::vector<HeadEntry>& heads) const;
    // pinned: where the newest records end and the following ones begin.
    [[nodiscard]] std::unique_ptr<Reader> newest_reader(const ReadOptions& options,
                                                        const FilterSet& set,
                                                        const LogReader::Range& range, Seq pinned);
    // Where a read that does not follow ends, and one that does if that is known already.
    struct EndOf {
        Seq now;                  // of what is there now
        std::optional<Seq> ever;  // nothing behind it is wanted, whatever comes
    };
    [[nodiscard]] Result<EndOf> end_of(const ReadOptions& options, Seq head);
    [[nodiscard]] Result<Seq> start_of(const ReadOptions& options, const FilterSet& set, Seq head,
                                       Seq end);
    [[nodiscard]] Result<std::optional<Seq>> near_time(Time time) const;
    [[nodiscard]] Result<Seq> before_time(Time time, Seq head);
    [[nodiscard]] Result<Seq> before_last(const ReadOptions& options, const FilterSet& set,
                                          Seq end);
    struct Counted {
        std::uint64_t records = 0;
        Seq last;
    };
    // Counts what matches in (after, end], up to records_max, and names the last of those.
    [[nodiscard]] Result<Counted> count(const ReadOptions& options, const FilterSet& set, Seq after,
                                        Seq end, std::uint64_t records_max);
    using TopicCounts = std::vector<std::pair<std::string, TopicCount>>;
    [[nodiscard]] Result<TopicCounts> topic_page(std::string_view prefix, std::string_view after,
                                                 std::size_t limit);
    [[nodiscard]] Result<TopicCounts> merged_topics(std::string_view prefix, std::string_view after,
                                                    std::size_t limit);
    [[nodiscard]] Result<std::vector<std::string>> key_names(std::string_view space,
                                                             std::string_view prefix,
                                                             std::string_view after,
                                                             std::size_t limit);
    [[nodiscard]] Result<Page<KeyRow>> key_page(std::string_view space, std::string_view prefix,
                                                std::string_view after, bool deleted,
                                                std::size_t limit);
    template <class Answer>
    [[nodiscard]] Result<Answer> with_key_index(const std::function<Result<Answer>()>& list);

    LogCore& core_;
    Wal& wal_;
    FileCatalog& catalog_;
    Pipeline& pipeline_;
    Flusher& flusher_;
    LogConsumers consumers_;
    mutable std::atomic<std::uint64_t> readers_{0};
    // A checkpoint says what is alive at its seq: no setting may come between the look and it.
    std::mutex settings_mutex_;
};

}  // namespace klog

#endif  // KLOG_LOG_LOG_IMPL_H
