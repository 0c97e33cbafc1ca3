// RFC 3339 and durations. The calendar is computed (Howard Hinnant's civil-day algorithms), so that
// no time zone of the machine gets a say.
#include <fmt/core.h>

#include <cstring>

#include "daemon/json/record_json.h"

namespace klog::json {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kSecondsPerDay = 86'400;

struct Civil {
    std::int64_t year;
    unsigned month;
    unsigned day;
};

constexpr std::int64_t days_from_civil(std::int64_t y, unsigned m, unsigned d) {
    y -= m <= 2 ? 1 : 0;
    const std::int64_t era = (y >= 0 ? y : y - 399) / 400;
    const auto yoe = static_cast<unsigned>(y - era * 400);
    const unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146'097 + static_cast<std::int64_t>(doe) - 719'468;
}

constexpr Civil civil_from_days(std::int64_t z) {
    z += 719'468;
    const std::int64_t era = (z >= 0 ? z : z - 146'096) / 146'097;
    const auto doe = static_cast<unsigned>(z - era * 146'097);
    const unsigned yoe = (doe - doe / 1460 + doe / 36'524 - doe / 146'096) / 365;
    const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const unsigned mp = (5 * doy + 2) / 153;
    const unsigned month = mp < 10 ? mp + 3 : mp - 9;
    const std::int64_t year = static_cast<std::int64_t>(yoe) + era * 400 + (month <= 2 ? 1 : 0);
    return {year, month, doy - (153 * mp + 2) / 5 + 1};
}

constexpr std::int64_t kSecondsMin = days_from_civil(0, 1, 1) * kSecondsPerDay;
constexpr std::int64_t kSecondsMax = days_from_civil(10'000, 1, 1) * kSecondsPerDay - 1;

void put_digits(char* at, std::uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

// Four-digit years only: a stored time beyond them is shown at the nearest one that has four.
void fill_cache(TimeCache& cache, std::int64_t second) {
    cache.second = second;
    const std::int64_t shown = std::min(std::max(second, kSecondsMin), kSecondsMax);
    std::int64_t days = shown / kSecondsPerDay;
    if (shown % kSecondsPerDay < 0) --days;
    const auto in_day = static_cast<std::uint64_t>(shown - days * kSecondsPerDay);
    const Civil civil = civil_from_days(days);
    std::memcpy(cache.text, "0000-00-00T00:00:00.", sizeof cache.text);
    put_digits(cache.text, static_cast<std::uint64_t>(civil.year), 4);
    put_digits(cache.text + 5, civil.month, 2);
    put_digits(cache.text + 8, civil.day, 2);
    put_digits(cache.text + 11, in_day / 3600, 2);
    put_digits(cache.text + 14, in_day / 60 % 60, 2);
    put_digits(cache.text + 17, in_day % 60, 2);
}

// Digits from a fixed place of a text; -1 where something else stands there.
int digits_at(std::string_view text, std::size_t at, std::size_t count) {
    if (at + count > text.size()) return -1;
    int value = 0;
    for (std::size_t i = at; i < at + count; ++i) {
        if (text[i] < '0' || text[i] > '9') return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

unsigned days_in_month(int year, int month) {
    static constexpr unsigned kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : kDays[month - 1];
}

Error bad_time(std::string_view text) {
    return {Code::bad_option, fmt::format("'{}' is not an RFC 3339 time", text),
            "2026-11-22T13:39:00.123456Z"};
}

// "Z" or "+hh:mm". Unit: seconds east.
bool parse_offset(std::string_view text, std::int64_t& seconds) {
    seconds = 0;
    if (text == "Z" || text == "z") return true;
    if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return false;
    const int hours = digits_at(text, 1, 2);
    const int minutes = digits_at(text, 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
    seconds = (hours * 60 + minutes) * 60;
    if (text[0] == '-') seconds = -seconds;
    return true;
}

}  // namespace

char* put_time(char* at, Time time, TimeCache& cache) {
    std::int64_t second = time.micros / kMicrosPerSecond;
    std::int64_t micros = time.micros % kMicrosPerSecond;
    if (micros < 0) {
        micros += kMicrosPerSecond;
        --second;
    }
    if (second != cache.second || cache.text[0] == '\0') fill_cache(cache, second);
    std::memcpy(at, cache.text, sizeof cache.text);
    put_digits(at + sizeof cache.text, static_cast<std::uint64_t>(micros), 6);
    at[26] = 'Z';
    return at + kTimeBytes;
}

void append_time(std::string& out, Time time) {
    TimeCache cache;
    char text[kTimeBytes];
    put_time(text, time, cache);
    out.append(text, sizeof text);
}

Result<Time> parse_time(std::string_view text) {
    const int year = digits_at(text, 0, 4);
    const int month = digits_at(text, 5, 2);
    const int day = digits_at(text, 8, 2);
    const int hour = digits_at(text, 11, 2);
    const int minute = digits_at(text, 14, 2);
    const int second = digits_at(text, 17, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 60) {
        return bad_time(text);
    }
    const bool marks = text[4] == '-' && text[7] == '-' && text[13] == ':' && text[16] == ':' &&
                       (text[10] == 'T' || text[10] == 't' || text[10] == ' ');
    if (!marks || static_cast<unsigned>(day) > days_in_month(year, month)) return bad_time(text);
    std::size_t at = 19;
    std::int64_t micros = 0;
    if (at < text.size() && text[at] == '.') {
        std::int64_t unit = kMicrosPerSecond / 10;
        const std::size_t first = ++at;
        for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) {
            micros += (text[at] - '0') * unit;
        }
        if (at == first) return bad_time(text);
    }
    std::int64_t offset = 0;
    if (!parse_offset(text.substr(at), offset)) return bad_time(text);
    const std::int64_t days =
        days_from_civil(year, static_cast<unsigned>(month), static_cast<unsigned>(day));
    const std::int64_t total = days * kSecondsPerDay + hour * 3600 + minute * 60 + second - offset;
    return Time{total * kMicrosPerSecond + micros};
}

Result<std::int64_t> parse_duration(std::string_view text) {
    struct Unit {
        std::string_view name;
        std::int64_t micros;
    };
    static constexpr Unit kUnits[] = {
        {"ms", 1000},
        {"s", kMicrosPerSecond},
        {"m", 60 * kMicrosPerSecond},
        {"h", 3600 * kMicrosPerSecond},
        {"d", kSecondsPerDay * kMicrosPerSecond},
        {"w", 7 * kSecondsPerDay * kMicrosPerSecond},
    };
    std::size_t at = 0;
    std::int64_t number = 0;
    constexpr std::size_t kDigitsMax = 12;
    for (; at < text.size() && at < kDigitsMax && text[at] >= '0' && text[at] <= '9'; ++at) {
        number = number * 10 + (text[at] - '0');
    }
    for (const Unit& unit : kUnits) {
        std::int64_t micros = 0;
        if (at == 0 || text.substr(at) != unit.name) continue;
        if (__builtin_mul_overflow(number, unit.micros, &micros)) break;
        return micros;
    }
    return Error{Code::bad_option, fmt::format("'{}' is not a duration", text),
                 "a number and a unit out of ms s m h d w, such as 15m"};
}

}  // namespace klog::json
