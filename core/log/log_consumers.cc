#include "log/log_consumers.h"

#include <algorithm>
#include <utility>

#include "log/internal_write.h"
#include "topic/filter.h"

namespace klog {
namespace {

constexpr std::uint64_t kMicrosPerMilli = 1000;
constexpr std::uint64_t kRetryMicros = 1'000'000;

Result<std::vector<std::string>> canonical(const std::vector<std::string>& filters) {
    std::vector<std::string> texts;
    for (const std::string& text : filters) {
        KLOG_TRY_ASSIGN(const Filter filter, Filter::parse(text));
        if (filter.reserved()) {
            return Error{Code::bad_filter,
                         "\"" + text + "\" is not a filter of a consumer: it would see its own " +
                             "acknowledgements, which are records under $klog (column 1)",
                         "klog tail --cursor-file FILE '$klog/>' keeps a position beside the log"};
        }
        if (std::find(texts.begin(), texts.end(), filter.text()) == texts.end()) {
            texts.push_back(filter.text());
        }
    }
    return texts;
}

Result<ConsumerDefinition> definition_of(const ConsumerOptions& options) {
    KLOG_TRY(FilterSet::parse(options.filters, options.not_filters));
    ConsumerDefinition definition;
    KLOG_TRY_ASSIGN(definition.filters, canonical(options.filters));
    KLOG_TRY_ASSIGN(definition.not_filters, canonical(options.not_filters));
    if (definition.filters.empty()) definition.filters.emplace_back(">");
    return definition;
}

Status check_size(const ConsumerDefinition& definition) {
    std::size_t bytes = 0;
    for (const auto* filters : {&definition.filters, &definition.not_filters}) {
        for (const std::string& filter : *filters) bytes += filter.size();
    }
    if (bytes <= Limits::kConsumerFiltersBytesMax) return {};
    return Error{Code::bad_option,
                 "the filters of a consumer have at most " +
                     std::to_string(Limits::kConsumerFiltersBytesMax) + " bytes together, not " +
                     std::to_string(bytes),
                 "fewer filters, or shorter ones with a wildcard"};
}

}  // namespace

Status LogConsumers::writable() const {
    if (!core_.read_only) return {};
    return Error{Code::not_allowed, "the log was opened read-only, so no consumer is made or moved",
                 "open it without read_only, once this one is closed"};
}

// Waits until it is durable. The seq of its record; 0 where nothing had to be written.
Result<Seq> LogConsumers::run(ConsumerStep step) {
    KLOG_TRY(writable());
    auto batch = internal_batch();
    const bool defines =
        step.what == ConsumerStep::What::put || step.what == ConsumerStep::What::remove;
    add_internal(*batch, defines ? Kind::settings : Kind::positions,
                 batch->keep(ConsumerTable::topic_of(step)), {});
    batch->prepared->steps.push_back(std::move(step));
    const auto done = write_and_wait(pipeline_, core_.id, std::move(batch));
    return seq_of(done->results.at(0));
}

Result<Consumers::Put> LogConsumers::put(std::string_view name, const ConsumerOptions& options) {
    KLOG_TRY(check_consumer_name(name));
    KLOG_TRY_ASSIGN(const ConsumerDefinition definition, definition_of(options));
    // One that is there and the same costs no write.
    ConsumerDefinition known;
    if (const auto info = find(name)) {
        known.filters = info->filters;
        known.not_filters = info->not_filters;
        if (same_filters(known, definition)) return Put{*info, false};
    }
    KLOG_TRY(check_size(definition));
    ConsumerStep step;
    step.what = ConsumerStep::What::put;
    step.name = name;
    step.definition = encode_definition(definition);
    step.seq = options.start_after;
    KLOG_TRY_ASSIGN(const Seq seq, run(std::move(step)));
    KLOG_TRY_ASSIGN(ConsumerInfo info, find(name));
    return Put{std::move(info), seq != Seq{}};
}

Result<ConsumerInfo> LogConsumers::find(std::string_view name) const {
    return pipeline_.with_state([&] { return core_.sequencer.consumers().find(name); });
}

Page<ConsumerInfo> LogConsumers::page(std::string_view after, std::size_t limit) const {
    return pipeline_.with_state(
        [&] { return core_.sequencer.consumers().page(after, std::min(limit, kPageRowsMax)); });
}

Status LogConsumers::remove(std::string_view name) {
    ConsumerStep step;
    step.what = ConsumerStep::What::remove;
    step.name = name;
    KLOG_TRY(check_consumer_name(name));
    KLOG_TRY(run(std::move(step)));
    return {};
}

Result<std::uint64_t> LogConsumers::remove_idle(const std::vector<std::string>& names,
                                                Time before) {
    KLOG_TRY(writable());
    if (names.size() > kPageRowsMax) {
        return Error{Code::bad_option,
                     "at most " + std::to_string(kPageRowsMax) + " consumers are removed at once",
                     {}};
    }
    auto batch = internal_batch();
    for (const std::string& name : names) {
        KLOG_TRY(check_consumer_name(name));
        ConsumerStep step;
        step.what = ConsumerStep::What::remove;
        step.name = name;
        step.idle_before = before;
        add_internal(*batch, Kind::settings, batch->keep(ConsumerTable::topic_of(step)), {});
        batch->prepared->steps.push_back(std::move(step));
    }
    if (batch->records.empty()) return 0;
    const auto done = write_and_wait(pipeline_, core_.id, std::move(batch));
    std::uint64_t removed = 0;
    for (const WriteResult& result : done->results) {
        KLOG_TRY_ASSIGN(const Seq seq, seq_of(result));
        if (seq != Seq{}) ++removed;
    }
    return removed;
}

Status LogConsumers::reset(std::string_view name, Seq position) {
    ConsumerStep step;
    step.what = ConsumerStep::What::reset;
    step.name = name;
    step.seq = position;
    KLOG_TRY(run(std::move(step)));
    return {};
}

Result<ConsumerInfo> LogConsumers::lease(std::string_view name) {
    ConsumerStep step;
    step.what = ConsumerStep::What::lease;
    step.name = name;
    KLOG_TRY_ASSIGN(const Seq seq, run(std::move(step)));
    KLOG_TRY_ASSIGN(ConsumerInfo info, find(name));
    info.lease = seq.value;
    return info;
}

void LogConsumers::soiled(bool was_clean) {
    if (was_clean && core_.positions_wanted) core_.positions_wanted();
}

Result<Seq> LogConsumers::ack(std::string_view name, Seq seq, std::optional<std::uint64_t> lease,
                              std::string_view result) {
    KLOG_TRY(writable());
    if (result.size() > Limits::kAckResultBytesMax) {
        return Error{Code::bad_option,
                     "a result has at most " + std::to_string(Limits::kAckResultBytesMax) +
                         " bytes, this one has " + std::to_string(result.size()),
                     "write what is longer as a record"};
    }
    const Seq head = core_.tail.head();
    const Time now = pipeline_.now();
    bool became_dirty = false;
    Result<Seq> done = pipeline_.with_state([&] {
        ConsumerTable& table = core_.sequencer.consumers();
        const bool clean = table.dirty_bytes() == 0;
        Result<Seq> acked = table.ack(name, seq, lease, result, head, now);
        became_dirty = clean && table.dirty_bytes() > 0;
        return acked;
    });
    soiled(became_dirty);
    return done;
}

Status LogConsumers::pass(std::string_view name, std::uint64_t lease, Seq sent, Seq read_to) {
    KLOG_TRY(writable());
    const Time now = pipeline_.now();
    bool became_dirty = false;
    Status done = pipeline_.with_state([&] {
        ConsumerTable& table = core_.sequencer.consumers();
        const bool clean = table.dirty_bytes() == 0;
        Status passed = table.pass(name, lease, sent, read_to, now);
        became_dirty = clean && table.dirty_bytes() > 0;
        return passed;
    });
    soiled(became_dirty);
    return done;
}

Status LogConsumers::flush() {
    if (core_.read_only) return {};
    const auto dirty = [this] {
        return pipeline_.with_state([this] { return core_.sequencer.consumers().dirty_bytes(); });
    };
    // Those whose state an unfinished group still changes are left for the next time.
    for (std::size_t left = dirty(); left > 0;) {
        KLOG_TRY(run(ConsumerStep{}));
        const std::size_t now = dirty();
        if (now >= left) return {};
        left = now;
    }
    return {};
}

std::uint64_t LogConsumers::flush_wait_ms(std::uint64_t now_micros,
                                          std::uint64_t bytes_written) const {
    const std::uint64_t dirty =
        pipeline_.with_state([this] { return core_.sequencer.consumers().dirty_bytes(); });
    if (dirty == 0) return ~0ULL;
    if (now_micros < retry_micros_) return (retry_micros_ - now_micros) / kMicrosPerMilli + 1;
    const std::uint64_t since =
        (now_micros - std::min<std::uint64_t>(now_micros, flushed_micros_)) / kMicrosPerMilli;
    const std::uint64_t written =
        bytes_written - std::min<std::uint64_t>(bytes_written, flushed_bytes_);
    const bool little = dirty <= kPositionsFreeBytes || written >= dirty * kPositionsShare;
    const std::uint64_t pause = little ? kPositionsPauseMs : kPositionsPauseMaxMs;
    if (since >= pause) return 0;
    return std::min(pause - since, kPositionsPauseMs);
}

Status LogConsumers::flush_at(std::uint64_t now_micros, std::uint64_t bytes_written) {
    Status flushed = flush();
    flushed_micros_ = now_micros;
    flushed_bytes_ = bytes_written;
    retry_micros_ = flushed ? 0 : now_micros + kRetryMicros;
    return flushed;
}

}  // namespace klog
