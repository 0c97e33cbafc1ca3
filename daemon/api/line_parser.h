// The lines of a body become records, as the request's parameters say.
#ifndef KLOG_DAEMON_API_LINE_PARSER_H
#define KLOG_DAEMON_API_LINE_PARSER_H

#include <cstddef>

#include "daemon/api/line_splitter.h"
#include "daemon/api/write_options.h"
#include "klog/result.h"
#include "klog/write.h"

namespace klog::api {

// The longest line that a value of that size can make.
[[nodiscard]] std::size_t line_bytes_max(std::size_t value_bytes_max);

// Any number of threads. Options must outlive the parser and the batches.
class LineParser {
public:
    LineParser(const StreamOptions& options, std::size_t value_bytes_max)
        : options_(options), value_bytes_max_(value_bytes_max) {}

    // Into a record of the batch; its line number is left to the caller. Errors: those of the line.
    Status parse(const Line& line, WriteBatch& batch, WriteRecord& record) const;
    // The same at the end of an atomic batch, where the line may be a guard or an ack. What is
    // added has the line's number. An error adds nothing.
    Status parse_atomic(const Line& line, WriteBatch& batch) const;

private:
    [[nodiscard]] Status check_length(const Line& line) const;
    Status parse_value(const Line& line, WriteBatch& batch, WriteRecord& record) const;

    const StreamOptions& options_;
    std::size_t value_bytes_max_;
};

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_LINE_PARSER_H
