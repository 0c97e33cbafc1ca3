// NDJSON from the daemon, printed in the mode that was asked for.
#ifndef KLOG_CLI_LISTING_H
#define KLOG_CLI_LISTING_H

#include <string>
#include <string_view>

#include "cli/context.h"
#include "cli/output.h"
#include "cli/request.h"
#include "klog/result.h"

namespace klog::cli {

// How one kind of line looks: `pretty` and `value` append what they make of it, with its line feed.
struct LineStyle {
    void (*pretty)(std::string& out, std::string_view line, bool color);
    void (*value)(std::string& out, std::string_view line);
};

[[nodiscard]] const LineStyle& record_style();
[[nodiscard]] const LineStyle& key_style();
[[nodiscard]] const LineStyle& topic_style();
[[nodiscard]] const LineStyle& consumer_style();

// Appends lines to an output. In the mode ndjson they pass as they came; json is one array.
class LinePrinter {
public:
    LinePrinter(Output& out, OutputMode mode, bool color, const LineStyle& style)
        : out_(out), mode_(mode), color_(color), style_(style) {}
    // A line without its line feed.
    void print(std::string_view line);
    // Ends the array of the mode json; call it once, at the end.
    void finish();

private:
    Output& out_;
    OutputMode mode_;
    bool color_;
    const LineStyle& style_;
    bool any_ = false;
};

// Asks, and prints every line of the answer as it comes. Gives the exit code; a refusal is
// printed. Errors: as ask().
[[nodiscard]] Result<int> print_listing(const Context& context, const Target& target,
                                        const LineStyle& style);

}  // namespace klog::cli

#endif  // KLOG_CLI_LISTING_H
