// The words of the log: seq, version, time, record, expectation.
#ifndef KLOG_TYPES_H
#define KLOG_TYPES_H

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace klog {

// Position in one log, one total order over all topics. 0 stands before the first record.
struct Seq {
    std::uint64_t value = 0;
    friend constexpr auto operator<=>(const Seq&, const Seq&) = default;
};

// Position within one entity: 1, 2, 3 … without gaps. 0: the entity never existed, or no key.
struct Version {
    std::uint64_t value = 0;
    friend constexpr auto operator<=>(const Version&, const Version&) = default;
};

// Microseconds since 1970-01-01T00:00:00Z, UTC.
struct Time {
    std::int64_t micros = 0;
    friend constexpr auto operator<=>(const Time&, const Time&) = default;
};

enum class LogId : std::uint32_t { system = 0, default_log = 1 };

// On disk these are the numbers of schemas/wal.md; never renumber.
enum class Kind : std::uint8_t {
    plain = 0,
    tombstone = 1,  // marks its entity deleted
    final = 2,      // closes its entity; reserved, not written yet
    settings = 3,   // under $klog/
    positions = 4,  // reserved
    epoch = 5,      // reserved
    purge = 6,      // reserved
};

enum class Encoding : std::uint8_t { json = 0, bytes = 1 };

// What an entity is just now. `closed` is reserved: nothing writes it yet.
enum class EntityState : std::uint8_t { absent = 0, live = 1, deleted = 2, closed = 3 };

// Limits of the interface. Units are the last word of the name; bytes where there is none.
struct Limits {
    static constexpr std::size_t kTopicBytesMax = 1024;
    static constexpr std::size_t kTopicLevelsMax = 128;
    static constexpr std::size_t kKeyBytesMax = 1024;
    static constexpr std::size_t kIdBytesMax = 128;
    static constexpr std::size_t kHeadersMax = 64;
    static constexpr std::size_t kHeadersBytesMax = 64 * 1024;
    static constexpr std::size_t kValueBytesDefault = 1U << 20U;
    static constexpr std::size_t kValueBytesCeiling = 64U << 20U;
    // Of one guard over filters: those in `none` and `not` together. Of all guards of a batch.
    static constexpr std::size_t kGuardFiltersMax = 16;
    static constexpr std::size_t kBatchGuardFiltersMax = 10'000;
    // Of one atomic batch: records, guards and acks together; their bytes as they came, or one
    // value's limit where that is larger.
    static constexpr std::size_t kBatchItemsMax = 10'000;
    static constexpr std::size_t kBatchBytesMax = 16U << 20U;
    // A refused atomic batch names so many violations, and how many there are beyond them.
    static constexpr std::size_t kViolationsMax = 100;
    static constexpr std::size_t kConsumerNameBytesMax = 128;
    // What a consumer says of a record that it has processed.
    static constexpr std::size_t kAckResultBytesMax = 128;
    // Filters of one consumer together, and what all consumers of a log may take in memory: about
    // 256 bytes each beside their names and filters.
    static constexpr std::size_t kConsumerFiltersBytesMax = 16 * 1024;
    static constexpr std::size_t kConsumersBytesMax = 256U << 20U;
};

// What the entity must be for a write to succeed.
struct Expect {
    enum class Form : std::uint8_t { any, version, absent, exists };
    Form form = Form::any;
    std::uint64_t version = 0;  // Form::version only; 0 means that it never existed
};

// A producing session that numbers its lines, so that a client which lost its connection can send
// a line again without writing it twice. All zero: none.
struct SessionId {
    std::array<std::uint8_t, 16> bytes{};
    friend bool operator==(const SessionId&, const SessionId&) = default;
    [[nodiscard]] bool empty() const { return *this == SessionId{}; }
};

// One record as it is stored. Views point into memory that the holder of the record keeps alive.
struct RecordView {
    Seq seq;
    Version version;  // 0 where there is no key
    Time time;
    Kind kind = Kind::plain;
    Encoding encoding = Encoding::json;
    bool has_key = false;
    bool has_event_time = false;
    Time event_time;
    std::string_view topic;
    std::string_view key;
    std::string_view id;       // empty: none
    std::string_view headers;  // as encode_headers wrote them; empty: none
    std::string_view value;
    SessionId session;               // all zero: none
    std::uint64_t session_line = 0;  // from 1
};

struct Header {
    std::string_view name;
    std::string_view value;
};

// The stored form of headers, and back. decode_headers gives what it could read of damaged bytes;
// stored headers were checked before.
[[nodiscard]] std::string encode_headers(const std::vector<Header>& headers);
[[nodiscard]] std::vector<Header> decode_headers(std::string_view encoded);

}  // namespace klog

#endif  // KLOG_TYPES_H
