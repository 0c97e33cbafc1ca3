#include "segment/manifest_format.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/coding.h"
#include "base/crc32c.h"

namespace klog {

namespace {

constexpr std::string_view kMagic = "KLOGSET\n";
constexpr std::size_t kWriterBytes = 64;  // with the terminating zero
constexpr std::size_t kPutIdBytes = 16;
constexpr std::size_t kCrcAt = kManifestHeaderBytes - 4;
constexpr std::uint64_t kIncompatibleKnown = 0;

constexpr std::size_t kPageRowBytes = 32;  // of the directory of pages
constexpr std::size_t kEntryBytes = 128;   // of a segment
constexpr std::size_t kGarbageBytes = 32;
constexpr std::uint32_t kPageCritical = 1;  // flag: who does not know the type cannot read the set

enum class PageType : std::uint32_t { segments = 1, garbage = 2, forks = 3, pins = 4 };

// A row of the directory.
struct PageRow {
    PageType type = PageType::segments;
    std::uint32_t log_id = 0;
    std::uint32_t count = 0;
    std::uint32_t entry_bytes = 0;
    std::uint32_t page_bytes = 0;
    std::uint32_t crc = 0;
    std::uint32_t flags = 0;
};

Error broken(const std::string& place, const std::string& what) {
    return {Code::corrupt, place + ": " + what,
            "which segments count is not known without it, so nothing is deleted; restore the "
            "directory from a copy"};
}

Error broken_at(const std::string& path, std::uint64_t offset, const std::string& what) {
    return broken(path, "damaged at offset " + std::to_string(offset) + ": " + what);
}

void put_range(std::string& out, const SeqRange& range) {
    put_fixed(out, range.first.value);
    put_fixed(out, range.last.value);
}

SeqRange get_range(ByteReader& in) {
    const std::uint64_t first = in.fixed<std::uint64_t>();
    return {{first}, {in.fixed<std::uint64_t>()}};
}

void put_entry(std::string& out, const SegmentEntry& entry) {
    const std::size_t begin = out.size();
    put_fixed(out, entry.segment_id);
    put_fixed(out, static_cast<std::uint32_t>(entry.log_id));
    put_fixed(out, entry.generation);
    put_range(out, entry.covered);
    put_range(out, entry.held);
    put_fixed(out, entry.records);
    put_fixed(out, entry.payload_bytes);
    put_fixed(out, entry.first_time.micros);
    put_fixed(out, entry.last_time.micros);
    put_fixed(out, entry.file_bytes);
    put_fixed(out, entry.root_hash.hi);
    put_fixed(out, entry.root_hash.lo);
    put_fixed(out, entry.root_bytes);
    put_fixed(out, entry.key_id);
    out.resize(begin + kEntryBytes);
}

SegmentEntry get_entry(std::string_view bytes) {
    ByteReader in(bytes);
    SegmentEntry entry;
    entry.segment_id = in.fixed<std::uint64_t>();
    entry.log_id = static_cast<LogId>(in.fixed<std::uint32_t>());
    entry.generation = in.fixed<std::uint32_t>();
    entry.covered = get_range(in);
    entry.held = get_range(in);
    entry.records = in.fixed<std::uint64_t>();
    entry.payload_bytes = in.fixed<std::uint64_t>();
    entry.first_time = {in.fixed<std::int64_t>()};
    entry.last_time = {in.fixed<std::int64_t>()};
    entry.file_bytes = in.fixed<std::uint64_t>();
    entry.root_hash.hi = in.fixed<std::uint64_t>();
    entry.root_hash.lo = in.fixed<std::uint64_t>();
    entry.root_bytes = in.fixed<std::uint32_t>();
    entry.key_id = in.fixed<std::uint32_t>();
    return entry;
}

void put_garbage(std::string& out, const SegmentGarbage& garbage) {
    const std::size_t begin = out.size();
    put_fixed(out, garbage.segment_id);
    put_fixed(out, static_cast<std::uint32_t>(garbage.log_id));
    put_fixed(out, std::uint32_t{0});
    put_fixed(out, garbage.not_before.micros);
    out.resize(begin + kGarbageBytes);
}

SegmentGarbage get_garbage(std::string_view bytes) {
    ByteReader in(bytes);
    SegmentGarbage garbage;
    garbage.segment_id = in.fixed<std::uint64_t>();
    garbage.log_id = static_cast<LogId>(in.fixed<std::uint32_t>());
    in.fixed<std::uint32_t>();
    garbage.not_before = {in.fixed<std::int64_t>()};
    return garbage;
}

// Pages and the directory that lists them.
struct Pages {
    std::string directory;
    std::string bytes;
    std::uint32_t count = 0;

    template <class Items, class Put>
    void add(PageType type, std::uint32_t log_id, std::size_t entry_bytes, const Items& items,
             const Put& put) {
        for (std::size_t at = 0; at < items.size(); at += kManifestPageEntries) {
            const std::size_t stop = std::min(items.size(), at + kManifestPageEntries);
            const std::size_t begin = bytes.size();
            for (std::size_t i = at; i < stop; ++i) put(bytes, items[i]);
            const std::string_view page = std::string_view(bytes).substr(begin);
            put_fixed(directory, static_cast<std::uint32_t>(type));
            put_fixed(directory, log_id);
            put_fixed(directory, static_cast<std::uint32_t>(stop - at));
            put_fixed(directory, static_cast<std::uint32_t>(entry_bytes));
            put_fixed(directory, static_cast<std::uint32_t>(page.size()));
            put_fixed(directory, crc32c(page));
            put_fixed(directory, kPageCritical);
            put_fixed(directory, std::uint32_t{0});
            ++count;
        }
    }
};

// What the header says beside the state.
struct ManifestHeader {
    SegmentSetState state;
    std::string writer;
    std::uint64_t file_bytes = 0;
    std::uint32_t pages = 0;
    std::uint32_t directory_crc = 0;
};

Result<ManifestHeader> decode_header(std::string_view bytes, const std::string& path) {
    if (bytes.size() < kManifestHeaderBytes) {
        return broken_at(path, bytes.size(), "the file ends before its header does");
    }
    ByteReader in(bytes.substr(0, kManifestHeaderBytes));
    if (in.raw(kMagic.size()) != kMagic) {
        return broken_at(path, 0, "it does not begin as a set of segments does");
    }
    if (crc32c(bytes.substr(0, kCrcAt)) != load_fixed<std::uint32_t>(bytes.data() + kCrcAt)) {
        return broken_at(path, 0, "the header's checksum does not fit");
    }
    ManifestHeader header;
    const auto format = in.fixed<std::uint32_t>();
    const auto min_reader = in.fixed<std::uint32_t>();
    const std::uint64_t unknown = in.fixed<std::uint64_t>() & ~kIncompatibleKnown;
    in.fixed<std::uint64_t>();  // compatible bits
    const std::string_view writer = in.raw(kWriterBytes);
    header.writer = writer.substr(0, writer.find('\0'));
    if (min_reader > kManifestFormat || unknown != 0) {
        return Error{Code::format_unknown,
                     path + " was written by \"" + header.writer + "\" in format " +
                         std::to_string(format) + ", which this version cannot read (it needs a " +
                         "reader of format " + std::to_string(min_reader) +
                         ", unknown feature bits " + std::to_string(unknown) + ")",
                     "open the directory with that version of klog or a later one"};
    }
    const auto copy = [&in](auto& array) {
        const std::string_view raw = in.raw(array.size());
        std::copy(raw.begin(), raw.end(), array.begin());
    };
    SegmentSetState& state = header.state;
    copy(state.store_uuid);
    copy(state.hash_key);
    state.number = in.fixed<std::uint64_t>();
    state.epoch = in.fixed<std::uint64_t>();
    in.raw(kPutIdBytes);
    state.sealed.wal_id = in.fixed<std::uint64_t>();
    state.sealed.end = in.fixed<std::uint64_t>();
    state.sealed.chain = in.fixed<std::uint32_t>();
    in.fixed<std::uint32_t>();
    state.next_segment_id = in.fixed<std::uint64_t>();
    in.fixed<std::uint64_t>();  // next WAL index
    in.fixed<std::uint64_t>();  // seq_ceiling
    for (std::uint64_t& seq : state.settings_checkpoint) seq = in.fixed<std::uint64_t>();
    in.fixed<std::uint64_t>();  // purge_seq
    header.file_bytes = in.fixed<std::uint64_t>();
    header.pages = in.fixed<std::uint32_t>();
    header.directory_crc = in.fixed<std::uint32_t>();
    return header;
}

PageRow get_row(std::string_view bytes) {
    ByteReader in(bytes);
    PageRow row;
    row.type = static_cast<PageType>(in.fixed<std::uint32_t>());
    row.log_id = in.fixed<std::uint32_t>();
    row.count = in.fixed<std::uint32_t>();
    row.entry_bytes = in.fixed<std::uint32_t>();
    row.page_bytes = in.fixed<std::uint32_t>();
    row.crc = in.fixed<std::uint32_t>();
    row.flags = in.fixed<std::uint32_t>();
    return row;
}

// `page` is sound in itself. A later version may have made the entries longer.
Status take_page(const PageRow& row, std::string_view page, const std::string& writer,
                 const std::string& place, SegmentSetState& state) {
    const bool segments = row.type == PageType::segments;
    if (!segments && row.type != PageType::garbage) {
        if ((row.flags & kPageCritical) == 0) return {};
        return Error{Code::format_unknown,
                     place + " has the type " +
                         std::to_string(static_cast<std::uint32_t>(row.type)) +
                         ", which this version does not know; \"" + writer + "\" wrote it",
                     "open the directory with that version of klog or a later one"};
    }
    const std::size_t least = segments ? kEntryBytes : kGarbageBytes;
    if (row.count == 0 || row.entry_bytes < least ||
        std::uint64_t{row.count} * row.entry_bytes != page.size()) {
        return broken(place, "the number and the length of its entries do not fit");
    }
    if (segments && row.log_id >= state.logs.size()) {
        return Error{Code::format_unknown,
                     place + " is of log " + std::to_string(row.log_id) +
                         ", which this version does not know; \"" + writer + "\" wrote it",
                     "open the directory with that version of klog or a later one"};
    }
    for (std::size_t at = 0; at < page.size(); at += row.entry_bytes) {
        if (!segments) {
            state.garbage.push_back(get_garbage(page.substr(at)));
            continue;
        }
        state.logs.at(row.log_id).push_back(get_entry(page.substr(at)));
    }
    return {};
}

}  // namespace

std::string encode_manifest(const SegmentSetState& state, const std::string& writer) {
    Pages pages;
    for (std::uint32_t log = 0; log < state.logs.size(); ++log) {
        pages.add(PageType::segments, log, kEntryBytes, state.logs.at(log), put_entry);
    }
    pages.add(PageType::garbage, 0, kGarbageBytes, state.garbage, put_garbage);

    std::string out(kMagic);
    put_fixed(out, kManifestFormat);
    put_fixed(out, kManifestFormat);   // min_reader
    put_fixed(out, std::uint64_t{0});  // incompatible bits
    put_fixed(out, std::uint64_t{0});  // compatible bits
    std::string named = writer.substr(0, kWriterBytes - 1);
    named.resize(kWriterBytes);
    out += named;
    out.append(state.store_uuid.begin(), state.store_uuid.end());
    out.append(state.hash_key.begin(), state.hash_key.end());
    put_fixed(out, state.number);
    put_fixed(out, state.epoch);
    out.append(kPutIdBytes, '\0');
    put_fixed(out, state.sealed.wal_id);
    put_fixed(out, state.sealed.end);
    put_fixed(out, state.sealed.chain);
    put_fixed(out, std::uint32_t{0});
    put_fixed(out, state.next_segment_id);
    put_fixed(out, std::uint64_t{0});  // next WAL index
    put_fixed(out, std::uint64_t{0});  // seq_ceiling
    for (const std::uint64_t seq : state.settings_checkpoint) put_fixed(out, seq);
    put_fixed(out, std::uint64_t{0});  // purge_seq
    put_fixed(out, kManifestHeaderBytes + pages.directory.size() + pages.bytes.size());
    put_fixed(out, pages.count);
    put_fixed(out, crc32c(pages.directory));
    out.resize(kCrcAt);
    put_fixed(out, crc32c(out));
    return out + pages.directory + pages.bytes;
}

Result<std::uint64_t> manifest_bytes(std::string_view header, const std::string& path) {
    KLOG_TRY_ASSIGN(const ManifestHeader decoded, decode_header(header, path));
    return decoded.file_bytes;
}

Result<SegmentSetState> decode_manifest(std::string_view bytes, const std::string& path) {
    KLOG_TRY_ASSIGN(ManifestHeader header, decode_header(bytes, path));
    if (header.file_bytes != bytes.size()) {
        return broken_at(path, std::min<std::uint64_t>(bytes.size(), header.file_bytes),
                         "the file is " + std::to_string(bytes.size()) + " bytes long, not " +
                             std::to_string(header.file_bytes));
    }
    std::string_view rest = bytes.substr(kManifestHeaderBytes);
    if (rest.size() / kPageRowBytes < header.pages) {
        return broken_at(path, kManifestHeaderBytes, "the directory of pages does not fit");
    }
    const std::string_view directory = rest.substr(0, header.pages * kPageRowBytes);
    rest.remove_prefix(directory.size());
    if (crc32c(directory) != header.directory_crc) {
        return broken_at(path, kManifestHeaderBytes,
                         "the checksum of the directory of pages does not fit");
    }
    for (std::size_t at = 0; at < directory.size(); at += kPageRowBytes) {
        const PageRow row = get_row(directory.substr(at));
        const std::uint64_t offset = bytes.size() - rest.size();
        if (row.page_bytes > rest.size()) {
            return broken_at(path, offset, "the page runs past the end of the file");
        }
        const std::string_view page = rest.substr(0, row.page_bytes);
        rest.remove_prefix(page.size());
        if (crc32c(page) != row.crc) {
            return broken_at(path, offset, "the checksum of the page does not fit");
        }
        KLOG_TRY(take_page(row, page, header.writer,
                           path + ": the page at offset " + std::to_string(offset), header.state));
    }
    if (!rest.empty()) {
        return broken_at(path, bytes.size() - rest.size(), "no page of the directory stands there");
    }
    KLOG_TRY(check_segment_set(header.state, Code::corrupt, path));
    return std::move(header.state);
}

}  // namespace klog
