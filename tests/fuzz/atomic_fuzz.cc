// Lines of atomic batches: what is taken keeps the limits, and written out again it is the same.
#include <string>

#include "daemon/json/batch_line.h"
#include "daemon/json/guard_json.h"
#include "daemon/json/json_check.h"
#include "fuzz/fuzz.h"
#include "klog/log.h"
#include "topic/filter.h"

using namespace klog;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

constexpr std::size_t kValueBytesMax = 1000;

std::size_t added(const WriteBatch& batch) {
    return batch.records.size() + batch.atomic->guards.size() + batch.atomic->acks.size();
}

bool parse(std::string& line, WriteBatch& batch, std::uint64_t number) {
    const std::size_t before = added(batch);
    const Status status =
        json::parse_batch_line(line.data(), line.size(), kValueBytesMax, batch, number);
    require(added(batch) == before + (status ? 1 : 0), "a line adds one thing, or none");
    require(status.ok() || !status.error().message.empty(), "an error says what is wrong");
    return status.ok();
}

void append_filters(std::string& out, const std::vector<std::string>& filters) {
    out += '[';
    for (std::size_t i = 0; i < filters.size(); ++i) {
        if (i > 0) out += ',';
        json::append_quoted(out, filters[i]);
    }
    out += ']';
}

void check(const FilterGuard& guard) {
    require(json::check_guard(guard).ok(), "a guard that was read is sound");
    require(!guard.none.empty(), "it has a filter");
    for (const auto* filters : {&guard.none, &guard.not_filters}) {
        for (const std::string& filter : *filters) {
            const Result<Filter> parsed = Filter::parse(filter);
            require(parsed.ok() && !parsed->reserved(), "each filter is one");
        }
    }
    require(guard.none.size() + guard.not_filters.size() <= Limits::kGuardFiltersMax,
            "and not too many");
    std::string line = "{\"guard\":{\"after\":" + std::to_string(guard.after.value) + ",\"not\":";
    append_filters(line, guard.not_filters);
    line += ",\"none\":";
    append_filters(line, guard.none);
    line += "}}";
    WriteBatch batch;
    batch.atomic = std::make_unique<AtomicPart>();
    require(parse(line, batch, 1), "what was rendered is a guard");
    const FilterGuard* again = batch.atomic->guards.at(0).filters;
    require(again != nullptr && again->none == guard.none &&
                again->not_filters == guard.not_filters && again->after == guard.after,
            "the same guard");
}

void check(const BatchGuard& guard) {
    if (guard.filters != nullptr) return check(*guard.filters);
    require(guard.expect.form != Expect::Form::any, "a guard of an entity expects something");
}

void check(const BatchAck& ack) {
    require(!ack.consumer.empty() && ack.consumer.size() <= Limits::kConsumerNameBytesMax,
            "the name of a consumer keeps its limits");
    require(ack.result.size() <= Limits::kAckResultBytesMax, "a result keeps its limit");
    std::string line = "{\"ack\":{\"consumer\":";
    json::append_quoted(line, ack.consumer);
    line += ",\"seq\":" + std::to_string(ack.seq.value);
    if (ack.lease) line += ",\"lease\":" + std::to_string(*ack.lease);
    if (!ack.result.empty()) line += ",\"result\":" + std::string(ack.result);
    line += "}}";
    WriteBatch batch;
    batch.atomic = std::make_unique<AtomicPart>();
    require(parse(line, batch, 1), "what was rendered is an ack");
    const BatchAck& again = batch.atomic->acks.at(0);
    require(again.consumer == ack.consumer && again.seq == ack.seq && again.lease == ack.lease &&
                again.result == ack.result,
            "the same ack");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    WriteBatch batch;
    batch.atomic = std::make_unique<AtomicPart>();
    std::vector<std::string> lines;
    while (!in.empty()) lines.emplace_back(in.until('\n'));
    for (std::size_t i = 0; i < lines.size(); ++i) parse(lines[i], batch, i + 1);
    std::uint64_t last = 0;
    for (const WriteRecord& record : batch.records) {
        require(record.line > last && record.line <= lines.size(), "records have their lines");
        last = record.line;
        require(record.value.size() <= kValueBytesMax, "the limit of values holds");
        if (record.guard != nullptr) check(*record.guard);
    }
    for (const BatchGuard& guard : batch.atomic->guards) check(guard);
    for (const BatchAck& ack : batch.atomic->acks) check(ack);
    return 0;
}
