// How a table of heads is best laid out for look-ups of groups: the figures behind runs of format 2
// (schemas/run.md), which core/README.md quotes.
//
//     klog_index_layouts FOLDER [ENTRIES [RUNS [WIDTH]]]
//
// Writes one table of ENTRIES (10,000,000) random hashes, each with some bytes behind it (WIDTH,
// 24, in all), and RUNS - 1 (7) further ones of a hundredth of it, then looks up random hashes of
// the first, as a write with an expected version does: every run's filter is asked, one block is
// read. One line a layout: nanoseconds a look-up with a warm page cache, and with a cold one where
// the kernel lets us drop it (root). Layouts:
//
//     fence N    blocks of N bytes, the first hash of each in memory, found by binary search
//     guess N    the same, found from where the hash would lie if all were evenly spread
//     bucket N   about N entries a block: the block is a function of the hash, where it begins is
//                in memory (4 bytes a block)
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/siphash.h"
#include "index/run_format.h"
#include "klog/env.h"

using namespace klog;

namespace {

constexpr std::size_t kHashBytes = 16;
constexpr std::size_t kCrcBytes = 4;
constexpr std::size_t kBufferBytes = 64U << 10U;
constexpr std::size_t kWriteBytes = 1U << 20U;
constexpr std::size_t kWarmLookUps = 1U << 20U;
constexpr std::size_t kColdLookUps = 1U << 13U;
constexpr std::size_t kSmallRunShare = 100;

enum class Addressing { fence, guess, bucket };

struct Layout {
    Addressing kind = Addressing::fence;
    std::size_t size = 4096;  // bytes, or entries of a bucket
};

struct Way {
    std::size_t group = 256;
    bool sorted = false;
    bool filters = true;
    bool prefetch = true;
    bool announce = false;  // tells the disk of a whole group before the first read
};

[[noreturn]] void give_up(const std::string& what) {
    std::cerr << "index_layouts: " << what << "\n";
    std::exit(1);
}

template <class T>
T need(Result<T> result) {
    if (!result.ok()) give_up(result.error().message);
    return std::move(result).value();
}

void need(const Status& status) {
    if (!status.ok()) give_up(status.error().message);
}

std::uint64_t part_of(std::uint64_t hash, std::uint64_t parts) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(hash) * parts) >> 64U);
}

struct Place {
    std::uint64_t offset = 0;
    std::size_t bytes = 0;
};

// One table in a file of its own.
class Table {
public:
    Table(Env& env, const std::string& path, Layout layout, std::size_t width,
          const std::vector<Hash128>& sorted)
        : layout_(layout), width_(width), count_(sorted.size()) {
        filter_.assign(run_filter_bytes(count_), '\0');
        static_cast<void>(env.remove(path));
        file_ = need(env.open(path, OpenMode::create_new));
        std::string out;
        std::string block;
        std::uint64_t at = 0;
        const auto end_block = [&] {
            if (layout_.kind != Addressing::bucket) block.resize(layout_.size - kCrcBytes, '\0');
            put_fixed(block, crc32c(block));
            out += block;
            block.clear();
            if (out.size() < kWriteBytes) return;
            need(file_->write_at(at, out));
            at += out.size();
            out.clear();
        };
        if (layout_.kind == Addressing::bucket) buckets_ = count_ / layout_.size + 1;
        const std::size_t per_block = (layout_.size - kCrcBytes) / width_;
        for (std::size_t i = 0; i < count_; ++i) {
            const Hash128 hash = sorted[i];
            run_filter_add(filter_, hash);
            if (layout_.kind == Addressing::bucket) {
                while (starts_.size() <= part_of(hash.hi, buckets_)) {
                    if (!starts_.empty()) end_block();
                    starts_.push_back(static_cast<std::uint32_t>(i));
                }
            } else if (i % per_block == 0) {
                if (i != 0) end_block();
                fence_.push_back(hash.hi);
            }
            put_fixed(block, hash.hi);
            put_fixed(block, hash.lo);
            block.append(width_ - kHashBytes, 'x');
        }
        while (layout_.kind == Addressing::bucket && starts_.size() <= buckets_) {
            end_block();
            starts_.push_back(static_cast<std::uint32_t>(count_));
        }
        if (layout_.kind != Addressing::bucket) end_block();
        need(file_->write_at(at, out));
        need(file_->sync_data());
    }

    void prefetch_filter(Hash128 hash) const {
        const std::uint64_t blocks = filter_.size() / kRunFilterBlockBytes;
        __builtin_prefetch(filter_.data() + part_of(hash.lo, blocks) * kRunFilterBlockBytes);
    }
    bool may_hold(Hash128 hash) const { return run_filter_may_hold(filter_, hash); }
    void prefetch_place(Hash128 hash) const {
        if (layout_.kind == Addressing::bucket) {
            __builtin_prefetch(starts_.data() + part_of(hash.hi, buckets_));
        } else if (layout_.kind == Addressing::guess) {
            __builtin_prefetch(fence_.data() + part_of(hash.hi, fence_.size()));
        }
    }

    [[nodiscard]] Place place(Hash128 hash) const {
        if (layout_.kind == Addressing::bucket) {
            const std::uint64_t bucket = part_of(hash.hi, buckets_);
            const std::uint64_t first = starts_[bucket];
            return {first * width_ + bucket * kCrcBytes,
                    (starts_[bucket + 1] - first) * width_ + kCrcBytes};
        }
        std::size_t block = 0;
        if (layout_.kind == Addressing::fence) {
            block = static_cast<std::size_t>(
                std::upper_bound(fence_.begin(), fence_.end(), hash.hi) - fence_.begin());
        } else {
            block = part_of(hash.hi, fence_.size());
            while (block < fence_.size() && fence_[block] <= hash.hi) ++block;
            while (block > 0 && fence_[block - 1] > hash.hi) --block;
        }
        return {(block - 1) * layout_.size, layout_.size};
    }

    void announce(Place place) const { file_->will_read(place.offset, place.bytes); }

    [[nodiscard]] bool read(Place place, Hash128 hash, std::string& buffer) const {
        const std::span<char> out(buffer.data(), place.bytes);
        if (need(file_->read_at(place.offset, out)) != place.bytes) give_up("short read");
        const std::string_view entries(buffer.data(), place.bytes - kCrcBytes);
        if (crc32c(entries) != load_fixed<std::uint32_t>(entries.data() + entries.size())) {
            give_up("checksum");
        }
        std::size_t low = 0;
        std::size_t high = entries.size() / width_;
        if (layout_.kind == Addressing::bucket) {
            for (; low < high; ++low) {
                const char* at = entries.data() + low * width_;
                if (load_fixed<std::uint64_t>(at) == hash.hi) return true;
            }
            return false;
        }
        // What fills the last block up is zeros: it is looked at as if it were entries.
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            const auto there = load_fixed<std::uint64_t>(entries.data() + middle * width_);
            if (there == hash.hi) return true;
            if (there < hash.hi && there != 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return false;
    }

    [[nodiscard]] double bytes_a_key(Env& env, const std::string& path) const {
        const auto file = need(env.open(path, OpenMode::read));
        const std::uint64_t all =
            need(file->size()) + filter_.size() + fence_.size() * 8 + starts_.size() * 4;
        return static_cast<double>(all) / static_cast<double>(count_);
    }
    [[nodiscard]] double memory_a_key() const {
        const std::size_t all = filter_.size() + fence_.size() * 8 + starts_.size() * 4;
        return static_cast<double>(all) / static_cast<double>(count_);
    }

private:
    Layout layout_;
    std::size_t width_;
    std::size_t count_;
    std::unique_ptr<File> file_;
    std::string filter_;
    std::vector<std::uint64_t> fence_;
    std::vector<std::uint32_t> starts_;
    std::uint64_t buckets_ = 0;
};

std::size_t look_up(const std::vector<Table>& tables, std::span<Hash128> group, const Way& way,
                    std::string& buffer) {
    if (way.sorted) std::sort(group.begin(), group.end());
    std::vector<Hash128> pending(group.begin(), group.end());
    std::vector<Hash128> passed;
    std::vector<Place> places;
    std::size_t found = 0;
    for (auto table = tables.rbegin(); table != tables.rend(); ++table) {
        passed.clear();
        if (way.prefetch && way.filters) {
            for (const Hash128& hash : pending) table->prefetch_filter(hash);
        }
        for (const Hash128& hash : pending) {
            if (!way.filters || table->may_hold(hash)) passed.push_back(hash);
        }
        if (way.prefetch) {
            for (const Hash128& hash : passed) table->prefetch_place(hash);
        }
        places.clear();
        for (const Hash128& hash : passed) {
            places.push_back(table->place(hash));
            if (way.announce) table->announce(places.back());
        }
        for (std::size_t i = 0; i < passed.size(); ++i) {
            if (table->read(places[i], passed[i], buffer)) ++found;
        }
    }
    return found;
}

double nanos_a_look_up(const std::vector<Table>& tables, const std::vector<Hash128>& hashes,
                       std::size_t look_ups, const Way& way) {
    std::mt19937_64 random(1);
    std::vector<Hash128> asked(look_ups);
    for (Hash128& hash : asked) hash = hashes[part_of(random(), hashes.size())];
    std::string buffer(kBufferBytes, '\0');
    const auto began = std::chrono::steady_clock::now();
    std::size_t found = 0;
    for (std::size_t at = 0; at + way.group <= look_ups; at += way.group) {
        found += look_up(tables, std::span(asked).subspan(at, way.group), way, buffer);
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
    if (found < look_ups / way.group * way.group) give_up("not all were found");
    return took.count() / static_cast<double>(found);
}

bool drop_caches() {
    ::sync();
    const int fd = ::open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool written = ::write(fd, "1", 1) == 1;
    ::close(fd);
    return written;
}

std::string name_of(Layout layout) {
    constexpr const char* kNames[] = {"fence", "guess", "bucket"};
    return fmt::format("{} {}", kNames[static_cast<int>(layout.kind)], layout.size);
}

void measure(const std::vector<Table>& tables, const std::vector<Hash128>& hashes) {
    for (const std::size_t group : {64U, 256U, 1024U, 4096U}) {
        fmt::print(" {:5.0f}", nanos_a_look_up(tables, hashes, kWarmLookUps, {.group = group}));
    }
    fmt::print("  | {:6.0f}", nanos_a_look_up(tables, hashes, kWarmLookUps, {.sorted = true}));
    fmt::print(" {:6.0f}", nanos_a_look_up(tables, hashes, kWarmLookUps, {.prefetch = false}));
    fmt::print(" {:6.0f}", nanos_a_look_up(tables, hashes, kWarmLookUps / 4, {.filters = false}));
    fmt::print(" {:6.0f}  |", nanos_a_look_up(tables, hashes, kWarmLookUps, {.announce = true}));
    for (const bool announce : {false, true}) {
        if (!drop_caches()) {
            fmt::print("      -");
            continue;
        }
        fmt::print(" {:7.0f}",
                   nanos_a_look_up(tables, hashes, kColdLookUps, {.announce = announce}));
    }
    fmt::print("\n");
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2)
        give_up("names a folder for its files: klog_index_layouts FOLDER [ENTRIES [RUNS]]");
    const std::string folder = argv[1];
    const std::size_t entries = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10'000'000;
    const std::size_t runs = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 8;
    const std::size_t width = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 24;
    const auto env = make_posix_env({.sync = false});
    need(env->create_dirs(folder));

    std::mt19937_64 random(7);
    std::vector<Hash128> hashes(entries);
    for (Hash128& hash : hashes) hash = Hash128{random(), random()};
    std::sort(hashes.begin(), hashes.end());
    std::vector<Hash128> small(entries / kSmallRunShare + 1);
    for (Hash128& hash : small) hash = Hash128{random(), random()};
    std::sort(small.begin(), small.end());

    fmt::print(
        "{} entries of {} bytes, runs: {}. Nanoseconds a look-up, group of 256 where none is "
        "named\n",
        entries, width, runs);
    fmt::print(
        "layout         disk memory |   64   256  1024  4096  | sorted  plain nofilt  ahead  |    "
        "cold   ahead\n");
    constexpr Layout kLayouts[] = {
        {Addressing::fence, 512},  {Addressing::fence, 1024}, {Addressing::fence, 2048},
        {Addressing::fence, 4096}, {Addressing::guess, 512},  {Addressing::guess, 1024},
        {Addressing::guess, 4096}, {Addressing::bucket, 8},   {Addressing::bucket, 16},
        {Addressing::bucket, 32},  {Addressing::bucket, 64}};
    for (const Layout& layout : kLayouts) {
        std::vector<Table> tables;
        for (std::size_t i = 0; i < runs; ++i) {
            tables.emplace_back(*env, fmt::format("{}/{}.table", folder, i), layout, width,
                                i == 0 ? hashes : small);
        }
        const std::string first = folder + "/0.table";
        fmt::print("{:12} {:6.2f} {:6.2f} |", name_of(layout), tables[0].bytes_a_key(*env, first),
                   tables[0].memory_a_key());
        measure(tables, hashes);
        for (std::size_t i = 0; i < runs; ++i) {
            need(env->remove(fmt::format("{}/{}.table", folder, i)));
        }
    }
    return 0;
}
