#include "daemon/api/stream_report.h"

#include <algorithm>

#include "daemon/api/acks.h"

namespace klog::api {

namespace {

// Empty where nothing stands against the record.
std::string violations_text_of(std::uint64_t line, const WriteBatch& batch, std::size_t i,
                               const ConflictDetails& details) {
    const auto violations = violations_of(line, batch.records[i], batch.results[i]);
    if (violations.empty()) return {};
    const auto known = details.find(i);
    if (known == details.end()) return violations_text(violations);
    return violations_text(violations, known->second);
}

}  // namespace

void StreamReport::add(const WriteBatch& batch, const std::vector<LocalError>& errors,
                       const ConflictDetails& details, std::string& out) {
    constexpr std::size_t kAckBytesUsual = 64;
    if (!summary_) out.reserve(batch.results.size() * kAckBytesUsual);
    std::size_t next_error = 0;
    for (std::size_t i = 0; i <= batch.results.size(); ++i) {
        for (; next_error < errors.size() && errors[next_error].before == i; ++next_error) {
            const LocalError& local = errors[next_error];
            add_error(local.line, local.error, {}, out);
        }
        if (i < batch.results.size()) add_result(batch, i, details, out);
    }
}

void StreamReport::add_result(const WriteBatch& batch, std::size_t i,
                              const ConflictDetails& details, std::string& out) {
    if (stopped_) return;
    const WriteResult& result = batch.results[i];
    const std::uint64_t line = batch.records[i].line - line_offset_;
    switch (result.outcome) {
        case WriteResult::Outcome::skipped:
            return;
        case WriteResult::Outcome::written:
        case WriteResult::Outcome::duplicate:
            break;
        case WriteResult::Outcome::refused:
        case WriteResult::Outcome::stale_settings:
        case WriteResult::Outcome::unknown:
            return add_error(line, error_of(result), violations_text_of(line, batch, i, details),
                             out);
    }
    ++count_;
    if (result.outcome == WriteResult::Outcome::duplicate) ++duplicates_;
    if (result.seq.value != 0) {
        if (first_seq_.value == 0 || result.seq < first_seq_) first_seq_ = result.seq;
        last_seq_ = std::max(last_seq_, result.seq);
    }
    if (!summary_) append_ack(out, line, result);
}

void StreamReport::add_error(std::uint64_t line, const Error& error, std::string_view violations,
                             std::string& out) {
    if (stopped_) return;
    stopped_ = !skip_errors_;
    if (!summary_) {
        append_refusal(out, line, error, violations);
        out.push_back('\n');
        return;
    }
    if (errors_count_++ >= kErrorsMax) return;
    if (!errors_.empty()) errors_.push_back(',');
    append_refusal(errors_, line, error, violations);
}

std::string StreamReport::summary() const {
    std::string out = "{\"count\":" + std::to_string(count_);
    if (duplicates_ > 0) out += ",\"duplicates\":" + std::to_string(duplicates_);
    if (first_seq_.value != 0) {
        out += ",\"first_seq\":" + std::to_string(first_seq_.value) +
               ",\"last_seq\":" + std::to_string(last_seq_.value);
    }
    out += ",\"errors\":[" + errors_ + "]";
    if (errors_count_ > kErrorsMax) {
        out += ",\"errors_left_out\":" + std::to_string(errors_count_ - kErrorsMax);
    }
    out += "}\n";
    return out;
}

}  // namespace klog::api
