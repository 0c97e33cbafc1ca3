// Consumers in memory with the interface of the real ones, for tests of what stands on a FakeLog.
// Leases count from 1; nothing is ever lost, so nothing has to be flushed.
#ifndef KLOG_TESTS_SUPPORT_FAKE_POSITIONS_H
#define KLOG_TESTS_SUPPORT_FAKE_POSITIONS_H

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "klog/consumer.h"

namespace klog::test {

class FakePositions final : public Consumers {
public:
    explicit FakePositions(std::function<Seq()> head) : head_(std::move(head)) {}

    std::optional<Error> error_;  // what every call that writes answers

    Result<Put> put(std::string_view name, const ConsumerOptions& options) override {
        KLOG_TRY(check_consumer_name(name));
        if (error_) return *error_;
        const auto at = all_.find(name);
        if (at == all_.end()) {
            ConsumerInfo info;
            info.name = name;
            info.filters = options.filters;
            info.not_filters = options.not_filters;
            info.position = options.start_after;
            return Put{all_.emplace(info.name, info).first->second, true};
        }
        if (at->second.filters == options.filters &&
            at->second.not_filters == options.not_filters) {
            return Put{at->second, false};
        }
        return Error{Code::consumer_differs, "it was made with other filters", {}};
    }
    [[nodiscard]] Result<ConsumerInfo> find(std::string_view name) const override {
        const auto at = all_.find(name);
        if (at == all_.end()) return unknown();
        return at->second;
    }
    [[nodiscard]] Page<ConsumerInfo> page(std::string_view after,
                                          std::size_t limit) const override {
        Page<ConsumerInfo> page;
        for (auto at = all_.upper_bound(after); at != all_.end(); ++at) {
            if (page.rows.size() == limit) page.more = true;
            if (!page.more) page.rows.push_back(at->second);
        }
        return page;
    }
    Status remove(std::string_view name) override {
        const auto at = all_.find(name);
        if (at == all_.end()) return unknown();
        all_.erase(at);
        return {};
    }
    Result<std::uint64_t> remove_idle(const std::vector<std::string>& names, Time before) override {
        std::uint64_t removed = 0;
        for (const std::string& name : names) {
            const auto at = all_.find(name);
            if (at == all_.end() || at->second.last_active >= before) continue;
            all_.erase(at);
            ++removed;
        }
        return removed;
    }
    Status reset(std::string_view name, Seq position) override {
        const auto at = all_.find(name);
        if (at == all_.end()) return unknown();
        if (position > head_()) return ahead();
        at->second.position = position;
        at->second.lease = ++leases_;
        return {};
    }
    Result<ConsumerInfo> lease(std::string_view name) override {
        const auto at = all_.find(name);
        if (at == all_.end()) return unknown();
        if (error_) return *error_;
        at->second.lease = ++leases_;
        return at->second;
    }
    Result<Seq> ack(std::string_view name, Seq seq, std::optional<std::uint64_t> lease,
                    std::string_view result) override {
        const auto at = all_.find(name);
        if (at == all_.end()) return unknown();
        if (lease && *lease != at->second.lease) return stale();
        if (seq > head_()) return ahead();
        if (seq > at->second.position) {
            at->second.position = seq;
            at->second.result = result;
        }
        return at->second.position;
    }
    Status pass(std::string_view name, std::uint64_t lease, Seq sent, Seq read_to) override {
        const auto at = all_.find(name);
        if (at == all_.end()) return unknown();
        if (lease != at->second.lease) return stale();
        if (at->second.position >= sent) {
            at->second.position = std::max(at->second.position, read_to);
        }
        return {};
    }
    Status flush() override { return {}; }

private:
    static Error unknown() { return {Code::not_found, "there is no such consumer", {}}; }
    static Error ahead() { return {Code::ack_ahead, "that lies ahead of the head", {}}; }
    static Error stale() { return {Code::stale_lease, "the lease is stale", {}}; }

    std::function<Seq()> head_;
    std::map<std::string, ConsumerInfo, std::less<>> all_;
    std::uint64_t leases_ = 0;
};

// The part of a fake log that has them.
class LogOfPositions : public Log {
public:
    FakePositions positions_{[this] { return head(); }};
    [[nodiscard]] Consumers& consumers() override { return positions_; }
    using Log::head;
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_FAKE_POSITIONS_H
