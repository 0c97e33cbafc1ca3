// The parameters of POST /v1/records, checked.
#ifndef KLOG_DAEMON_API_WRITE_OPTIONS_H
#define KLOG_DAEMON_API_WRITE_OPTIONS_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/api/params.h"
#include "klog/log.h"
#include "klog/result.h"

namespace klog::api {

// A topic some of whose levels are taken from the value: orders/{/id}/created.
class TopicTemplate {
public:
    // Errors: bad_topic, with the column, for a brace that stands elsewhere; bad_option for a bad
    // pointer.
    [[nodiscard]] static Result<TopicTemplate> parse(std::string_view text);

    // True where nothing is to be filled in: text() is the topic.
    [[nodiscard]] bool fixed() const { return levels_.empty(); }
    [[nodiscard]] const std::string& text() const { return text_; }
    // Errors: bad_record where the value has no string or number there, or one with a slash.
    [[nodiscard]] Result<std::string> fill(std::string_view value) const;

private:
    struct Level {
        std::string before;  // literal text in front of it
        std::vector<std::string> pointer;
    };
    std::string text_;
    std::vector<Level> levels_;
    std::string rest_;  // behind the last filled level
};

// What one record is told by its query.
struct SingleOptions {
    std::string topic;
    std::optional<std::string> key;
    std::string id;
    std::string headers;  // encoded
    Kind kind = Kind::plain;
    std::optional<Time> event_time;
    Expect expect;
    std::optional<FilterGuard> guard;  // expect_none, after
};
[[nodiscard]] Result<SingleOptions> parse_single_options(const http::Request& request);

// What a stream of lines, or an atomic batch of them, is told by its query.
struct StreamOptions {
    bool envelope = false;
    bool atomic = false;
    std::optional<FilterGuard> guard;  // expect_none, after; with atomic only
    TopicTemplate topic;
    std::optional<std::string> key;
    std::optional<std::vector<std::string>> key_from;
    std::optional<std::vector<std::string>> id_from;
    std::string headers;  // encoded
    bool skip_errors = false;
    bool summary = false;
    SessionId session;
    std::uint64_t session_line = 1;  // the number of the body's first line within the session
    Seq session_after;               // its lines are not found at or before this seq
};
[[nodiscard]] Result<StreamOptions> parse_stream_options(const http::Request& request);

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_WRITE_OPTIONS_H
