// What a stream of lines answers: a line for each, or one summary.
#ifndef KLOG_DAEMON_API_STREAM_REPORT_H
#define KLOG_DAEMON_API_STREAM_REPORT_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/api/violations.h"
#include "klog/log.h"
#include "klog/result.h"

namespace klog::api {

// A line that was refused before it reached the log.
struct LocalError {
    std::size_t before = 0;  // stands in front of the batch's record of that index
    std::uint64_t line = 0;
    Error error;
};

class StreamReport {
public:
    // line_offset: what a record's line is above the body's own line number.
    StreamReport(bool summary, bool skip_errors, std::uint64_t line_offset)
        : summary_(summary), skip_errors_(skip_errors), line_offset_(line_offset) {}

    // The next batch with its results. Appends its lines to out, nothing for a summary. After an
    // error nothing more is told, unless errors are skipped. details: as far as they are known.
    void add(const WriteBatch& batch, const std::vector<LocalError>& errors,
             const ConflictDetails& details, std::string& out);

    // {"count","first_seq","last_seq","errors":[…]}. At most kErrorsMax errors are listed;
    // "errors_left_out" counts the others.
    [[nodiscard]] std::string summary() const;

    static constexpr std::size_t kErrorsMax = 1000;

private:
    void add_result(const WriteBatch& batch, std::size_t i, const ConflictDetails& details,
                    std::string& out);
    // violations: their text, or nothing.
    void add_error(std::uint64_t line, const Error& error, std::string_view violations,
                   std::string& out);

    bool summary_;
    bool skip_errors_;
    std::uint64_t line_offset_;
    bool stopped_ = false;
    std::uint64_t count_ = 0;
    std::uint64_t duplicates_ = 0;
    Seq first_seq_;
    Seq last_seq_;
    std::string errors_;
    std::uint64_t errors_count_ = 0;
};

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_STREAM_REPORT_H
