#include "index/wal_file_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {
namespace {

constexpr std::string_view kMagic = "KLOGWIX\x1a";
constexpr std::uint32_t kFormat = 2;
constexpr std::size_t kHeaderBytes = kWalFileIndexHeaderBytes;
constexpr std::size_t kHeaderCrcAt = kHeaderBytes - sizeof(std::uint32_t);
// Of format 1.
constexpr std::size_t kOldHeaderBytes = 64;
// A point and a topic take at least this many bytes: no count can ask for more memory than the
// file justifies.
constexpr std::size_t kPointBytesMin = 3;
constexpr std::size_t kTopicBytesMin = 5;
constexpr std::size_t kEntityPageRefBytes = 8;

std::uint64_t zigzag(std::int64_t v) {
    return (static_cast<std::uint64_t>(v) << 1U) ^ (v < 0 ? UINT64_MAX : 0);
}
std::int64_t unzigzag(std::uint64_t v) {
    return static_cast<std::int64_t>((v >> 1U) ^ ((v & 1U) != 0 ? UINT64_MAX : 0));
}
// Times may lie anywhere in 64 bits: their difference wraps instead of overflowing.
std::uint64_t time_delta(Time from, Time to) {
    return zigzag(static_cast<std::int64_t>(static_cast<std::uint64_t>(to.micros) -
                                            static_cast<std::uint64_t>(from.micros)));
}
Time add_delta(Time from, std::uint64_t delta) {
    return Time{static_cast<std::int64_t>(static_cast<std::uint64_t>(from.micros) +
                                          static_cast<std::uint64_t>(unzigzag(delta)))};
}

void encode_entity_table(const EntityTable& table, std::string& out) {
    put_varint(out, table.entries);
    for (const EntityTable::Page& page : table.pages) {
        put_fixed(out, page.first);
        put_fixed(out, page.crc);
    }
}

bool decode_entity_table(ByteReader& in, EntityTable& table) {
    table.entries = in.varint();
    // Not in one step: the sum may wrap.
    const std::uint64_t pages =
        table.entries / kEntityPageEntries + (table.entries % kEntityPageEntries != 0 ? 1 : 0);
    if (pages > in.left() / kEntityPageRefBytes) return false;
    table.pages.reserve(static_cast<std::size_t>(pages));
    for (std::uint64_t i = 0; i < pages; ++i) {
        EntityTable::Page page;
        page.first = in.fixed<std::uint32_t>();
        page.crc = in.fixed<std::uint32_t>();
        if (i > 0 && page.first < table.pages.back().first) return false;
        table.pages.push_back(page);
    }
    return in.ok();
}

void encode_log(const WalLogIndex& index, std::string& out) {
    put_varint(out, index.first_seq.value);
    put_varint(out, index.last_seq.value - index.first_seq.value);
    put_fixed(out, index.first_time.micros);
    put_varint(out, time_delta(index.first_time, index.last_time));
    put_varint(out, index.points.size());
    WalLogIndex::Point last{index.first_seq, index.first_time, 0};
    for (const WalLogIndex::Point& point : index.points) {
        put_varint(out, point.first_seq.value - last.first_seq.value);
        put_varint(out, time_delta(last.base_time, point.base_time));
        put_varint(out, point.offset - last.offset);
        last = point;
    }
    put_varint(out, index.topics.size());
    std::string_view previous;
    for (const auto& [topic, count] : index.topics) {
        const auto same = static_cast<std::size_t>(
            std::mismatch(previous.begin(), previous.end(), topic.begin(), topic.end()).first -
            previous.begin());
        put_varint(out, same);
        put_bytes(out, std::string_view(topic).substr(same));
        put_varint(out, count.records);
        put_varint(out, count.first_seq.value - index.first_seq.value);
        put_varint(out, count.last_seq.value - count.first_seq.value);
        previous = topic;
    }
    encode_entity_table(index.entities, out);
}

bool decode_topics(ByteReader& in, WalLogIndex& index) {
    const std::uint64_t count = in.varint();
    if (count > in.left() / kTopicBytesMin) return false;
    index.topics.reserve(static_cast<std::size_t>(count));
    std::string topic;
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t same = in.varint();
        if (same > topic.size()) return false;
        const std::string_view rest = in.bytes();
        topic.resize(static_cast<std::size_t>(same));
        if (topic.size() + rest.size() > Limits::kTopicBytesMax) return false;
        topic += rest;
        TopicCount entry;
        entry.records = in.varint();
        entry.first_seq.value = index.first_seq.value + in.varint();
        entry.last_seq.value = entry.first_seq.value + in.varint();
        if (!in.ok()) return false;
        if (!index.topics.empty() && index.topics.back().first >= topic) return false;
        index.topics.emplace_back(topic, entry);
    }
    return true;
}

bool decode_log(ByteReader& in, WalLogIndex& index) {
    index.first_seq.value = in.varint();
    index.last_seq.value = index.first_seq.value + in.varint();
    index.first_time.micros = in.fixed<std::int64_t>();
    index.last_time = add_delta(index.first_time, in.varint());
    const std::uint64_t points = in.varint();
    if (points > in.left() / kPointBytesMin) return false;
    index.points.reserve(static_cast<std::size_t>(points));
    WalLogIndex::Point last{index.first_seq, index.first_time, 0};
    for (std::uint64_t i = 0; i < points; ++i) {
        WalLogIndex::Point point;
        point.first_seq.value = last.first_seq.value + in.varint();
        point.base_time = add_delta(last.base_time, in.varint());
        point.offset = last.offset + in.varint();
        if (!in.ok() || (i > 0 && point.offset <= last.offset)) return false;
        index.points.push_back(point);
        last = point;
    }
    if (index.points.empty() != (index.first_seq.value == 0)) return false;
    return decode_topics(in, index) && decode_entity_table(in, index.entities);
}

std::string encode_header(std::uint64_t wal_id, std::uint64_t end, std::string_view body,
                          std::string_view entities) {
    std::string out(kMagic);
    put_fixed(out, kFormat);
    put_fixed(out, kFormat);           // min_reader
    put_fixed(out, std::uint64_t{0});  // incompatible bits
    put_fixed(out, std::uint64_t{0});  // compatible bits
    put_fixed(out, wal_id);
    put_fixed(out, end);
    put_fixed(out, static_cast<std::uint64_t>(body.size()));
    put_fixed(out, crc32c(body));
    put_fixed(out, crc32c(entities));
    put_fixed(out, static_cast<std::uint64_t>(entities.size()));
    put_fixed(out, std::uint32_t{0});  // reserved
    KLOG_ASSERT(out.size() == kHeaderCrcAt);
    put_fixed(out, crc32c(out));
    return out;
}

// The first string behind all those that start with prefix; empty: there is none.
std::string prefix_end(std::string prefix) {
    while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xffU) prefix.pop_back();
    if (!prefix.empty()) {
        prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1U);
    }
    return prefix;
}

}  // namespace

const WalLogIndex::Point& WalLogIndex::point_of(Seq seq) const {
    KLOG_ASSERT(!points.empty());
    // The last point that does not begin behind seq.
    const auto behind =
        std::upper_bound(points.begin(), points.end(), seq,
                         [](Seq wanted, const Point& point) { return wanted < point.first_seq; });
    return behind == points.begin() ? points.front() : *std::prev(behind);
}

const WalLogIndex::Point& WalLogIndex::point_of(Time time) const {
    KLOG_ASSERT(!points.empty());
    // The last point that begins before time: one that begins at time may have frames before it
    // whose records bear the same time.
    const auto behind =
        std::lower_bound(points.begin(), points.end(), time,
                         [](const Point& point, Time wanted) { return point.base_time < wanted; });
    return behind == points.begin() ? points.front() : *std::prev(behind);
}

Result<WalFileIndexHeader> decode_wal_file_index_header(std::string_view bytes,
                                                        const std::string& path) {
    if (bytes.size() < kOldHeaderBytes || bytes.substr(0, kMagic.size()) != kMagic) {
        return Error{Code::corrupt, path + ": no index of a WAL file (offset 0)", ""};
    }
    ByteReader in(bytes.substr(kMagic.size()));
    WalFileIndexHeader header;
    header.has_entities = in.fixed<std::uint32_t>() > 1;
    header.header_bytes = header.has_entities ? kHeaderBytes : kOldHeaderBytes;
    const std::size_t crc_at = header.header_bytes - sizeof(std::uint32_t);
    if (bytes.size() < header.header_bytes ||
        crc32c(bytes.substr(0, crc_at)) != load_fixed<std::uint32_t>(bytes.data() + crc_at)) {
        return Error{Code::corrupt, path + ": the header fails its checksum (offset 0)", ""};
    }
    const auto min_reader = in.fixed<std::uint32_t>();
    const auto incompatible_bits = in.fixed<std::uint64_t>();
    in.fixed<std::uint64_t>();  // compatible bits
    if (min_reader > kFormat || incompatible_bits != 0) {
        return Error{Code::format_unknown, path + ": written in a form that is not known here", ""};
    }
    header.wal_id = in.fixed<std::uint64_t>();
    header.end = in.fixed<std::uint64_t>();
    header.body_bytes = in.fixed<std::uint64_t>();
    header.body_crc = in.fixed<std::uint32_t>();
    if (header.has_entities) {
        header.entities_crc = in.fixed<std::uint32_t>();
        header.entity_bytes = in.fixed<std::uint64_t>();
    }
    if (header.body_bytes > WalFileIndex::kFileBytesMax ||
        header.entity_bytes > WalFileIndex::kFileBytesMax) {
        return Error{Code::corrupt, path + ": its header names impossible sizes (offset 0)", ""};
    }
    return header;
}

bool WalLogIndex::may_match(const FilterSet& set) const {
    if (first_seq.value == 0) return false;
    if (topics.empty()) return true;
    const auto any_from = [&](const std::string& prefix) {
        const auto before = [](const auto& entry, const std::string& wanted) {
            return entry.first < wanted;
        };
        auto at = std::lower_bound(topics.begin(), topics.end(), prefix, before);
        const std::string end_name = prefix_end(prefix);
        const auto end =
            end_name.empty() ? topics.end() : std::lower_bound(at, topics.end(), end_name, before);
        return std::any_of(at, end, [&](const auto& entry) { return set.matches(entry.first); });
    };
    if (set.filters().empty()) return any_from("");
    return std::any_of(set.filters().begin(), set.filters().end(),
                       [&](const Filter& filter) { return any_from(filter.literal_prefix()); });
}

WalStretch WalLogIndex::stretch(std::size_t point) const {
    KLOG_ASSERT(point < points.size());
    const bool last = point + 1 == points.size();
    return {points[point].offset, points[point].first_seq,
            last ? last_seq : Seq{points[point + 1].first_seq.value - 1}};
}

void WalFileIndex::add_frame(LogId log, Seq first_seq, std::uint32_t count, Time base_time,
                             Time last_time, std::uint64_t offset,
                             std::span<const std::uint32_t> entities) {
    if (count == 0) return;
    PerLog& part = logs_.at(static_cast<std::size_t>(log));
    WalLogIndex& index = part.index;
    if (index.first_seq.value == 0) {
        KLOG_ASSERT(first_seq.value != 0);
        index.first_seq = first_seq;
        index.first_time = base_time;
    } else {
        KLOG_ASSERT(first_seq > index.last_seq);
        KLOG_ASSERT(offset > index.points.back().offset);
    }
    index.last_seq = Seq{first_seq.value + count - 1};
    index.last_time = last_time;
    const bool new_point =
        index.points.empty() || offset - index.points.back().offset >= kPointBytes;
    if (new_point) index.points.push_back({first_seq, base_time, offset});
    part.entities.add_frame(first_seq, index.last_seq, offset, new_point, entities);
}

void WalFileIndex::add_topic(LogId log, std::string_view topic, Seq seq) {
    PerLog& part = logs_.at(static_cast<std::size_t>(log));
    if (part.too_many_topics) return;
    auto& topics = part.topics;
    auto found = topics.find(topic);
    if (found == topics.end()) {
        if (topics.size() == kTopicsMax) {
            part.too_many_topics = true;
            topics = {};
            return;
        }
        found = topics.emplace(std::string(topic), TopicCount{0, seq, seq}).first;
    }
    TopicCount& count = found->second;
    ++count.records;
    count.first_seq = std::min(count.first_seq, seq);
    count.last_seq = std::max(count.last_seq, seq);
}

const WalLogIndex& WalFileIndex::log(LogId log) const {
    return logs_.at(static_cast<std::size_t>(log)).index;
}

const EntityPoints& WalFileIndex::entities(LogId log) const {
    return logs_.at(static_cast<std::size_t>(log)).entities;
}

void WalFileIndex::take_entities(const EntityPoints& entities, LogId log) {
    logs_.at(static_cast<std::size_t>(log)).entities = entities;
}

Status WalFileIndex::write(Env& env, const std::string& path, std::uint64_t wal_id,
                           std::uint64_t end) const {
    std::string body;
    std::string entities;
    for (const PerLog& log : logs_) {
        WalLogIndex index = log.index;
        index.topics.assign(log.topics.begin(), log.topics.end());
        std::sort(index.topics.begin(), index.topics.end(),
                  [](const auto& a, const auto& b) { return a.first < b.first; });
        index.entities = encode_entities(log.entities.sorted_entries(), entities);
        encode_log(index, body);
    }
    const std::uint64_t bytes = kHeaderBytes + body.size() + entities.size();
    if (bytes > kFileBytesMax) {
        return Error{Code::too_many,
                     fmt::format("the index {} would be {} bytes long; {} are allowed", path, bytes,
                                 kFileBytesMax),
                     ""};
    }
    const std::string temp = path + ".tmp";
    // Left by a crash; a folder without it is as it should be.
    if (Status removed = env.remove(temp); !removed.ok()) {
        if (removed.error().code != Code::not_found) return std::move(removed).error();
    }
    const auto write_all = [&]() -> Status {
        KLOG_TRY_ASSIGN(auto file, env.open(temp, OpenMode::create_new));
        KLOG_TRY(file->write_at(0, encode_header(wal_id, end, body, entities)));
        KLOG_TRY(file->write_at(kHeaderBytes, body));
        KLOG_TRY(file->write_at(kHeaderBytes + body.size(), entities));
        KLOG_TRY(file->sync_data());
        KLOG_TRY(env.rename(temp, path));
        const std::size_t slash = path.rfind('/');
        return env.sync_dir(slash == std::string::npos ? "." : path.substr(0, slash));
    };
    Status status = write_all();
    if (!status.ok()) {
        // Frees the room that a full disk needs; what stays is removed by the next write.
        (void)env.remove(temp);
    }
    return status;
}

std::optional<std::array<WalLogIndex, 2>> load_wal_file_index(Env& env, const std::string& path,
                                                              std::uint64_t wal_id,
                                                              std::uint64_t end) {
    const auto file = env.open(path, OpenMode::read);
    if (!file.ok()) return {};
    std::string header(kHeaderBytes, '\0');
    const auto header_got = (*file)->read_at(0, header);
    if (!header_got.ok() || *header_got != kHeaderBytes) return {};
    const auto known = decode_wal_file_index_header(header, path);
    const auto size = (*file)->size();
    if (!known.ok() || !known->has_entities || known->wal_id != wal_id || known->end != end ||
        !size.ok() || *size > WalFileIndex::kFileBytesMax || *size != known->file_bytes()) {
        return {};
    }
    std::string bytes(static_cast<std::size_t>(known->body_bytes), '\0');
    const auto got = (*file)->read_at(kHeaderBytes, bytes);
    if (!got.ok() || *got != bytes.size() || crc32c(bytes) != known->body_crc) return {};
    ByteReader in(bytes);
    std::array<WalLogIndex, 2> logs;
    for (WalLogIndex& log : logs) {
        if (!decode_log(in, log)) return {};
    }
    if (!in.ok() || in.left() != 0) return {};
    std::uint64_t offset = kHeaderBytes + known->body_bytes;
    for (WalLogIndex& log : logs) {
        log.entities.offset = offset;
        offset += log.entities.bytes();
    }
    if (offset != known->file_bytes()) return {};
    return logs;
}

bool find_entities(const File& index, const WalLogIndex& log,
                   std::span<const std::uint32_t> fingerprints, Seq from,
                   std::vector<WalStretch>& found) {
    std::vector<std::uint32_t> points;
    std::string bytes;
    for (const std::uint32_t fingerprint : fingerprints) {
        const EntityTable& table = log.entities;
        bool more = true;
        for (std::size_t page = table.page_of(fingerprint);
             more && page < table.pages.size() && table.pages[page].first <= fingerprint; ++page) {
            bytes.resize(table.page_bytes(page));
            const std::uint64_t offset = table.offset + page * kEntityPageBytes;
            const auto got = index.read_at(offset, bytes);
            if (!got.ok() || *got != bytes.size() ||
                !find_in_entity_page(bytes, table.pages[page], fingerprint, points, more)) {
                return false;
            }
        }
    }
    std::sort(points.begin(), points.end());
    points.erase(std::unique(points.begin(), points.end()), points.end());
    for (const std::uint32_t point : points) {
        if (point >= log.points.size()) return false;
        const WalStretch stretch = log.stretch(point);
        if (stretch.last_seq >= from) found.push_back(stretch);
    }
    return true;
}

}  // namespace klog
