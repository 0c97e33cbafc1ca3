// Results and error codes. Every call that can fail returns Result<T> (or Status).
//
// Codes are spelled as users see them: code_name(Code::version_conflict) is "version_conflict",
// in problem documents, on the command line and in man/klog-errors.7.
#ifndef KLOG_RESULT_H
#define KLOG_RESULT_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace klog {

enum class Code : std::uint8_t {
    // The request itself is wrong.
    bad_request,
    bad_topic,
    bad_filter,
    bad_key,
    bad_option,
    bad_json,
    bad_record,
    unknown_parameter,
    value_too_large,
    headers_too_large,
    batch_too_large,
    reserved_topic,
    no_bucket,
    unsupported,
    // The request meets what is there.
    version_conflict,
    guard_conflict,
    id_reused,
    partial_duplicate,
    closed,
    fenced,
    stale_lease,
    already_acked,
    ack_ahead,
    consumer_differs,
    consumer_busy,
    cursor_lost,
    guard_unknown,
    not_found,
    compacted,
    // Not now.
    backpressure,
    disk_full,
    locked,
    rebuilding,
    stopping,
    too_many,
    timeout,
    // The machine or the data.
    outcome_unknown,
    io,
    corrupt,
    format_unknown,
    bug,
    // The surroundings (mostly the command line's).
    usage,
    config,
    no_input,
    unreachable,
    not_klog,
    not_allowed,
};

// How a code is shown and what it becomes. http_status is 0 for codes that never cross HTTP.
struct CodeInfo {
    std::string_view name;
    int http_status;
    int exit_code;
    std::string_view title;
};

// Never fails: every Code has a row.
[[nodiscard]] const CodeInfo& code_info(Code code);
[[nodiscard]] std::string_view code_name(Code code);
// The code of a name as code_name spells it.
[[nodiscard]] std::optional<Code> code_from_name(std::string_view name);

struct Error {
    Code code = Code::bug;
    // What happened: one sentence, no trailing period, in plain English.
    std::string message;
    // The next thing to try, often a command line. Empty where there is none.
    std::string hint;
};

template <class T>
class [[nodiscard]] Result {
public:
    // NOLINTNEXTLINE(google-explicit-constructor): a value or an error is a result.
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    // NOLINTNEXTLINE(google-explicit-constructor): a value or an error is a result.
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    [[nodiscard]] bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    // Precondition of both: ok().
    [[nodiscard]] T& value() & { return std::get<0>(state_); }
    [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
    [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    // Precondition: !ok().
    [[nodiscard]] Error& error() & { return std::get<1>(state_); }
    [[nodiscard]] const Error& error() const& { return std::get<1>(state_); }
    [[nodiscard]] Error&& error() && { return std::get<1>(std::move(state_)); }

private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    // NOLINTNEXTLINE(google-explicit-constructor): a value or an error is a result.
    Result(Error error) : error_(std::move(error)) {}

    [[nodiscard]] bool ok() const { return !error_.has_value(); }
    explicit operator bool() const { return ok(); }
    // Precondition: !ok().
    [[nodiscard]] Error& error() & { return *error_; }
    [[nodiscard]] const Error& error() const& { return *error_; }
    [[nodiscard]] Error&& error() && { return *std::move(error_); }

private:
    std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace klog

#define KLOG_CONCAT_(a, b) a##b
#define KLOG_CONCAT(a, b) KLOG_CONCAT_(a, b)

// Returns the error of `expr` from the calling function; otherwise goes on.
#define KLOG_TRY(expr)                                  \
    do {                                                \
        if (auto klog_try_ = (expr); !klog_try_.ok()) { \
            return std::move(klog_try_).error();        \
        }                                               \
    } while (false)

// KLOG_TRY_ASSIGN(auto x, f()): x is the value of f(), or its error is returned.
#define KLOG_TRY_ASSIGN(decl, expr)                                    \
    auto KLOG_CONCAT(klog_result_, __LINE__) = (expr);                 \
    if (!KLOG_CONCAT(klog_result_, __LINE__).ok()) {                   \
        return std::move(KLOG_CONCAT(klog_result_, __LINE__)).error(); \
    }                                                                  \
    decl = std::move(KLOG_CONCAT(klog_result_, __LINE__)).value()

#endif  // KLOG_RESULT_H
