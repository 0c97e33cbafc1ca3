#include "segment/record_codec.h"

#include <bit>
#include <cstring>

#include "base/assert.h"

namespace klog {

namespace {

// Presence bits, as schemas/wal.md numbers them.
constexpr std::uint32_t kHasKey = 1U << 0U;
constexpr std::uint32_t kHasId = 1U << 1U;
constexpr std::uint32_t kHasEncoding = 1U << 2U;
constexpr std::uint32_t kHasSchemaSeq = 1U << 3U;
constexpr std::uint32_t kHasSettingsSeq = 1U << 4U;
constexpr std::uint32_t kHasEventTime = 1U << 5U;
constexpr std::uint32_t kHasHeaders = 1U << 6U;
constexpr std::uint32_t kHasTlv = 1U << 7U;
constexpr std::uint32_t kInlineTopic = 1U << 8U;
constexpr std::uint32_t kKnownBits = (1U << 9U) - 1;

constexpr std::uint64_t kTlvCritical = 1;  // lowest bit of a tag
constexpr std::uint64_t kTagSession = 1U << 1U;
constexpr std::size_t kSessionBytes = 16;

// Past this many probes a topic is written inline once more: topics that a user makes collide
// cost space, not time.
constexpr std::size_t kProbesMax = 8;
constexpr std::size_t kTableSizeFirst = 64;

constexpr std::size_t varint_bytes(std::uint64_t v) {
    return (static_cast<std::size_t>(std::bit_width(v | 1U)) + 6) / 7;
}
constexpr std::size_t sized_bytes(std::string_view v) { return varint_bytes(v.size()) + v.size(); }

constexpr std::uint64_t zigzag(std::uint64_t v) { return (v << 1U) ^ (0 - (v >> 63U)); }
constexpr std::uint64_t unzigzag(std::uint64_t v) { return (v >> 1U) ^ (0 - (v & 1U)); }

constexpr std::uint64_t micros(Time t) { return static_cast<std::uint64_t>(t.micros); }

char* write_varint(char* at, std::uint64_t v) {
    while (v >= 0x80) {
        *at++ = static_cast<char>(v | 0x80U);
        v >>= 7U;
    }
    *at++ = static_cast<char>(v);
    return at;
}

char* write_raw(char* at, std::string_view v) {
    if (!v.empty()) std::memcpy(at, v.data(), v.size());
    return at + v.size();
}

char* write_sized(char* at, std::string_view v) { return write_raw(write_varint(at, v.size()), v); }

std::uint32_t hash_topic(std::string_view topic) {
    std::uint64_t h = 0x9e3779b97f4a7c15ULL ^ topic.size();
    const char* at = topic.data();
    std::size_t left = topic.size();
    for (; left >= 8; at += 8, left -= 8) {
        h = (h ^ load_fixed<std::uint64_t>(at)) * 0xff51afd7ed558ccdULL;
        h ^= h >> 32U;
    }
    std::uint64_t tail = 0;
    if (left > 0) std::memcpy(&tail, at, left);
    h = (h ^ tail) * 0xff51afd7ed558ccdULL;
    return static_cast<std::uint32_t>(h >> 32U);
}

std::size_t tlv_bytes(const RecordView& record) {
    if (record.session.empty()) return 0;
    const std::size_t body = kSessionBytes + varint_bytes(record.session_line);
    return varint_bytes(kTagSession) + varint_bytes(body) + body;
}

char* write_tlv(char* at, const RecordView& record) {
    at = write_varint(at, kTagSession);
    at = write_varint(at, kSessionBytes + varint_bytes(record.session_line));
    std::memcpy(at, record.session.bytes.data(), kSessionBytes);
    return write_varint(at + kSessionBytes, record.session_line);
}

}  // namespace

RecordEncoder::RecordEncoder(std::string& out, Seq first_seq, Time base_time)
    : out_(&out), first_seq_(first_seq), base_time_(base_time) {}

bool RecordEncoder::is_topic(const DictEntry& entry, std::string_view topic) const {
    return entry.length == topic.size() &&
           std::memcmp(out_->data() + entry.offset, topic.data(), topic.size()) == 0;
}

bool RecordEncoder::find_topic(std::string_view topic, std::uint32_t& reference) {
    if (last_.used && is_topic(last_, topic)) {
        reference = last_.reference;
        return true;
    }
    if (table_.empty()) return false;
    const std::uint32_t hash = hash_topic(topic);
    const std::size_t mask = table_.size() - 1;
    for (std::size_t probe = 0; probe < kProbesMax; ++probe) {
        const DictEntry& entry = table_[(hash + probe) & mask];
        if (!entry.used) return false;
        if (entry.hash == hash && is_topic(entry, topic)) {
            last_ = entry;
            reference = entry.reference;
            return true;
        }
    }
    return false;
}

void RecordEncoder::insert(const DictEntry& entry) {
    const std::size_t mask = table_.size() - 1;
    for (std::size_t probe = 0; probe < kProbesMax; ++probe) {
        DictEntry& place = table_[(entry.hash + probe) & mask];
        if (place.used) continue;
        place = entry;
        ++table_used_;
        return;
    }
}

void RecordEncoder::grow_table() {
    std::vector<DictEntry> old(table_.empty() ? kTableSizeFirst : table_.size() * 2);
    old.swap(table_);
    table_used_ = 0;
    for (const DictEntry& entry : old) {
        if (entry.used) insert(entry);
    }
}

void RecordEncoder::remember_topic(std::string_view topic, std::size_t offset) {
    const DictEntry entry{offset, static_cast<std::uint32_t>(topic.size()), hash_topic(topic),
                          topics_++, true};
    if (last_.used) {  // the second topic: from here on a table pays
        if (table_.empty()) {
            grow_table();
            insert(last_);
        } else if (table_used_ * 2 >= table_.size()) {
            grow_table();
        }
        insert(entry);
    }
    last_ = entry;
}

void RecordEncoder::add(const RecordView& record) {
    KLOG_ASSERT(record.seq >= first_seq_ && record.time >= base_time_);
    std::uint32_t reference = 0;
    const bool is_inline = !find_topic(record.topic, reference);
    const std::uint64_t seq_delta = record.seq.value - first_seq_.value;
    const std::uint64_t time_delta = micros(record.time) - micros(base_time_);
    const std::uint64_t event_delta = zigzag(micros(record.event_time) - micros(record.time));
    const std::size_t tlv = tlv_bytes(record);

    std::uint32_t bits = is_inline ? kInlineTopic : 0;
    std::size_t body = 3 + varint_bytes(seq_delta) + varint_bytes(time_delta) +
                       varint_bytes(record.version.value) + record.value.size() +
                       (is_inline ? sized_bytes(record.topic) : varint_bytes(reference));
    const auto present = [&](bool yes, std::uint32_t bit, std::size_t bytes) {
        if (!yes) return;
        bits |= bit;
        body += bytes;
    };
    present(record.has_key, kHasKey, sized_bytes(record.key));
    present(!record.id.empty(), kHasId, sized_bytes(record.id));
    present(record.encoding != Encoding::json, kHasEncoding, 1);
    present(record.has_event_time, kHasEventTime, varint_bytes(event_delta));
    present(!record.headers.empty(), kHasHeaders, sized_bytes(record.headers));
    present(tlv > 0, kHasTlv, varint_bytes(tlv) + tlv);

    const std::size_t begin = out_->size();
    const std::size_t total = varint_bytes(body) + body;
    out_->resize(begin + total);
    char* at = write_varint(out_->data() + begin, body);
    *at++ = static_cast<char>(record.kind);
    *at++ = static_cast<char>(bits);
    *at++ = static_cast<char>(bits >> 8U);
    at = write_varint(at, seq_delta);
    at = write_varint(at, time_delta);
    at = write_varint(at, record.version.value);
    if (is_inline) {
        at = write_sized(at, record.topic);
        remember_topic(record.topic,
                       static_cast<std::size_t>(at - out_->data()) - record.topic.size());
    } else {
        at = write_varint(at, reference);
    }
    if ((bits & kHasKey) != 0) at = write_sized(at, record.key);
    if ((bits & kHasId) != 0) at = write_sized(at, record.id);
    if ((bits & kHasEncoding) != 0) *at++ = static_cast<char>(record.encoding);
    if ((bits & kHasEventTime) != 0) at = write_varint(at, event_delta);
    if ((bits & kHasHeaders) != 0) at = write_sized(at, record.headers);
    if ((bits & kHasTlv) != 0) at = write_tlv(write_varint(at, tlv), record);
    at = write_raw(at, record.value);
    KLOG_ASSERT(at == out_->data() + begin + total);
    ++count_;
}

std::size_t encoded_bytes_max(const RecordView& record) {
    constexpr std::size_t kVarintBytesMax = 10;
    // length, kind and bits, seq, time, version, encoding, event_time, TLV and its length; then a
    // length before each text.
    constexpr std::size_t kFixed = 8 * kVarintBytesMax + 4;
    const std::size_t texts = record.topic.size() + record.key.size() + record.id.size() +
                              record.headers.size() + record.value.size();
    return kFixed + 4 * kVarintBytesMax + texts + tlv_bytes(record);
}

RecordDecoder::RecordDecoder(std::string_view payload, Seq first_seq, Time base_time,
                             std::uint32_t count)
    : payload_(payload), first_seq_(first_seq), base_time_(base_time), left_(count) {}

Error RecordDecoder::damaged(const char* what) const {
    return {Code::corrupt,
            "a record at byte " + std::to_string(record_offset_) +
                " of its frame's payload is damaged: " + what,
            ""};
}

Error RecordDecoder::unknown(const char* what, std::uint64_t number) const {
    return {Code::format_unknown,
            "a record at byte " + std::to_string(record_offset_) + " of its frame's payload has " +
                what + " " + std::to_string(number) + ", which this version does not know",
            "read it with the version that wrote it, or a later one"};
}

Status RecordDecoder::read_topic(ByteReader& in, bool is_inline, RecordView& record) {
    if (is_inline) {
        record.topic = in.bytes();
        if (in.ok()) topics_.push_back(record.topic);
        return {};
    }
    const std::uint64_t reference = in.varint();
    if (!in.ok()) return {};
    if (reference >= topics_.size()) return damaged("its topic reference points nowhere");
    record.topic = topics_[static_cast<std::size_t>(reference)];
    return {};
}

Status RecordDecoder::read_tlv(std::string_view area, RecordView& record) const {
    ByteReader in(area);
    while (in.left() > 0) {
        const std::uint64_t tag = in.varint();
        const std::string_view body = in.bytes();
        if (!in.ok()) return damaged("an extra field runs past its end");
        if (tag == kTagSession) {
            ByteReader session(body);
            const std::string_view bytes = session.raw(kSessionBytes);
            record.session_line = session.varint();
            if (!session.ok() || session.left() > 0) return damaged("its session is malformed");
            std::memcpy(record.session.bytes.data(), bytes.data(), kSessionBytes);
        } else if ((tag & kTlvCritical) != 0) {
            return unknown("the critical extra field", tag >> 1U);
        }
    }
    return {};
}

Status RecordDecoder::read_optional(ByteReader& in, std::uint32_t bits, RecordView& record) {
    record.has_key = (bits & kHasKey) != 0;
    if (record.has_key) record.key = in.bytes();
    if ((bits & kHasId) != 0) record.id = in.bytes();
    if ((bits & kHasEncoding) != 0) {
        const std::uint8_t encoding = in.u8();
        if (encoding > static_cast<std::uint8_t>(Encoding::bytes)) {
            return unknown("the encoding", encoding);
        }
        record.encoding = static_cast<Encoding>(encoding);
    }
    if ((bits & kHasSchemaSeq) != 0) in.varint();
    if ((bits & kHasSettingsSeq) != 0) in.varint();
    record.has_event_time = (bits & kHasEventTime) != 0;
    if (record.has_event_time) {
        const std::uint64_t at = micros(record.time) + unzigzag(in.varint());
        record.event_time = {static_cast<std::int64_t>(at)};
    }
    if ((bits & kHasHeaders) != 0) record.headers = in.bytes();
    if ((bits & kHasTlv) != 0) KLOG_TRY(read_tlv(in.bytes(), record));
    if (!in.ok()) return damaged("a field runs past its end");
    return {};
}

Result<bool> RecordDecoder::next_of_key(RecordView& record, std::string_view key) {
    while (left_ > 0) {
        record_offset_ = static_cast<std::uint32_t>(at_);
        ByteReader outer(payload_.substr(at_));
        ByteReader in(outer.bytes());
        in.u8();  // kind
        const std::uint32_t bits = in.fixed<std::uint16_t>();
        in.varint();  // seq
        in.varint();  // time
        in.varint();  // version
        std::string_view topic;
        if ((bits & kInlineTopic) != 0) {
            topic = in.bytes();
        } else {
            in.varint();
        }
        const bool has_key = (bits & kHasKey) != 0;
        const bool is_it = has_key && in.bytes() == key;
        // What is broken is told by whoever decodes it.
        if (is_it || !in.ok() || !outer.ok() || (bits & ~kKnownBits) != 0) return next(record);
        if ((bits & kInlineTopic) != 0) topics_.push_back(topic);
        at_ = static_cast<std::size_t>(outer.position() - payload_.data());
        --left_;
    }
    return next(record);
}

Result<bool> RecordDecoder::next(RecordView& record) {
    record_offset_ = static_cast<std::uint32_t>(at_);
    if (left_ == 0) {
        if (at_ != payload_.size()) return damaged("bytes follow the last record");
        return false;
    }
    ByteReader outer(payload_.substr(at_));
    const std::string_view body = outer.bytes();
    if (!outer.ok()) return damaged("it runs past the payload's end");
    ByteReader in(body);
    const std::uint8_t kind = in.u8();
    const std::uint32_t bits = in.fixed<std::uint16_t>();
    const std::uint64_t seq_delta = in.varint();
    const std::uint64_t time_delta = in.varint();
    record = RecordView{};
    record.version = {in.varint()};
    if (!in.ok()) return damaged("a field runs past its end");
    if (kind > static_cast<std::uint8_t>(Kind::purge)) return unknown("the kind", kind);
    if ((bits & ~kKnownBits) != 0) return unknown("the presence bits", bits & ~kKnownBits);
    record.kind = static_cast<Kind>(kind);
    record.seq = {first_seq_.value + seq_delta};
    if (record.seq < first_seq_) return damaged("its seq overflows");
    record.time = {static_cast<std::int64_t>(micros(base_time_) + time_delta)};
    if (record.time < base_time_) return damaged("its time overflows");
    KLOG_TRY(read_topic(in, (bits & kInlineTopic) != 0, record));
    KLOG_TRY(read_optional(in, bits, record));
    record.value = in.raw(in.left());
    at_ = static_cast<std::size_t>(outer.position() - payload_.data());
    --left_;
    return true;
}

}  // namespace klog
