// Consumers over the pipeline of a store.
#ifndef KLOG_LOG_LOG_CONSUMERS_H
#define KLOG_LOG_LOG_CONSUMERS_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "klog/consumer.h"
#include "log/log_core.h"
#include "log/pipeline.h"

namespace klog {

class LogConsumers final : public Consumers {
public:
    // What positions take is little beside what is written, if it is at most this …
    static constexpr std::size_t kPositionsFreeBytes = 1024;
    // … or so many times is written meanwhile.
    static constexpr std::uint64_t kPositionsShare = 20;

    LogConsumers(LogCore& core, Pipeline& pipeline) : core_(core), pipeline_(pipeline) {}

    Result<Put> put(std::string_view name, const ConsumerOptions& options) override;
    Result<ConsumerInfo> find(std::string_view name) const override;
    Page<ConsumerInfo> page(std::string_view after, std::size_t limit) const override;
    Status remove(std::string_view name) override;
    Result<std::uint64_t> remove_idle(const std::vector<std::string>& names, Time before) override;
    Status reset(std::string_view name, Seq position) override;
    Result<ConsumerInfo> lease(std::string_view name) override;
    Result<Seq> ack(std::string_view name, Seq seq, std::optional<std::uint64_t> lease,
                    std::string_view result) override;
    Status pass(std::string_view name, std::uint64_t lease, Seq sent, Seq read_to) override;
    Status flush() override;

    // When a gathered record is due, by the monotonic clock and the bytes that the store has
    // written: the wait in milliseconds, ~0 where there is nothing to gather.
    [[nodiscard]] std::uint64_t flush_wait_ms(std::uint64_t now_micros,
                                              std::uint64_t bytes_written) const;
    // Writes it. What fails is tried again a second later.
    Status flush_at(std::uint64_t now_micros, std::uint64_t bytes_written);

private:
    [[nodiscard]] Status writable() const;
    [[nodiscard]] Result<Seq> run(ConsumerStep step);
    void soiled(bool was_clean);

    LogCore& core_;
    Pipeline& pipeline_;
    std::atomic<std::uint64_t> flushed_micros_{0};
    std::atomic<std::uint64_t> flushed_bytes_{0};
    std::atomic<std::uint64_t> retry_micros_{0};
};

}  // namespace klog

#endif  // KLOG_LOG_LOG_CONSUMERS_H
