#include "daemon/json/record_json.h"

#include <charconv>
#include <cstring>

#include "daemon/json/swar.h"

namespace klog::json {
namespace {

// Names that fit in here with all that stands around them are rendered in one go.
constexpr std::size_t kFastBytesMax = 1024;
constexpr std::size_t kFixedBytesMax = 256;  // member names, numbers, times

bool is_plain(std::string_view text) {
    bool high = false;
    const char* const end = text.data() + text.size();
    return find_special(text.data(), end, high) == end;
}

char* put(char* at, std::string_view text) {
    std::memcpy(at, text.data(), text.size());
    return at + text.size();
}

char* put(char* at, std::uint64_t number) { return std::to_chars(at, at + 20, number).ptr; }

std::string_view kind_name(Kind kind) {
    switch (kind) {
        case Kind::plain:
            return {};
        case Kind::tombstone:
            return "tombstone";
        case Kind::final:
            return "final";
        case Kind::settings:
            return "settings";
        case Kind::positions:
            return "positions";
        case Kind::epoch:
            return "epoch";
        case Kind::purge:
            return "purge";
    }
    return {};
}

void append_headers(std::string& out, std::string_view encoded) {
    out.append(",\"headers\":{");
    bool first = true;
    for (const Header& header : decode_headers(encoded)) {
        if (!first) out.push_back(',');
        first = false;
        append_quoted(out, header.name);
        out.push_back(':');
        append_quoted(out, header.value);
    }
    out.push_back('}');
}

// Everything between the key and the headers.
char* put_middle(char* at, const RecordView& record, TimeCache& cache) {
    if (record.has_key) {
        at = put(at, ",\"version\":");
        at = put(at, record.version.value);
    }
    at = put(at, ",\"time\":\"");
    at = put_time(at, record.time, cache);
    at = put(at, "\"");
    if (record.kind != Kind::plain) {
        at = put(at, ",\"kind\":\"");
        at = put(at, kind_name(record.kind));
        at = put(at, "\"");
    }
    if (record.has_event_time) {
        TimeCache other;
        at = put(at, ",\"event_time\":\"");
        at = put_time(at, record.event_time, other);
        at = put(at, "\"");
    }
    return at;
}

// Topic, key and id stand in the record without anything to escape, and are short.
void append_front_fast(std::string& out, const RecordView& record, TimeCache& cache) {
    char buffer[kFastBytesMax + kFixedBytesMax];
    char* at = put(buffer, "{\"seq\":");
    at = put(at, record.seq.value);
    at = put(at, ",\"topic\":\"");
    at = put(at, record.topic);
    at = put(at, "\"");
    if (record.has_key) {
        at = put(at, ",\"key\":\"");
        at = put(at, record.key);
        at = put(at, "\"");
    }
    at = put_middle(at, record, cache);
    if (!record.id.empty()) {
        at = put(at, ",\"id\":\"");
        at = put(at, record.id);
        at = put(at, "\"");
    }
    out.append(buffer, at);
}

void append_front(std::string& out, const RecordView& record, TimeCache& cache) {
    char buffer[kFixedBytesMax];
    char* at = put(buffer, "{\"seq\":");
    at = put(at, record.seq.value);
    at = put(at, ",\"topic\":");
    out.append(buffer, at);
    append_quoted(out, record.topic);
    if (record.has_key) {
        out.append(",\"key\":");
        append_quoted(out, record.key);
    }
    out.append(buffer, put_middle(buffer, record, cache));
    if (!record.id.empty()) {
        out.append(",\"id\":");
        append_quoted(out, record.id);
    }
}

}  // namespace

void append_record(std::string& out, const RecordView& record, TimeCache& cache) {
    const bool fast = record.topic.size() + record.key.size() + record.id.size() <= kFastBytesMax &&
                      is_plain(record.topic) && is_plain(record.key) && is_plain(record.id);
    if (fast) {
        append_front_fast(out, record, cache);
    } else {
        append_front(out, record, cache);
    }
    if (!record.headers.empty()) append_headers(out, record.headers);
    if (record.encoding == Encoding::bytes) {
        if (record.kind != Kind::tombstone || !record.value.empty()) {
            out.append(",\"value_base64\":\"");
            append_base64(out, record.value);
            out.push_back('"');
        }
    } else if (!record.value.empty()) {
        out.append(",\"value\":");
        out.append(record.value);
    }
    out.append("}\n");
}

void append_record(std::string& out, const RecordView& record) {
    TimeCache cache;
    append_record(out, record, cache);
}

}  // namespace klog::json
