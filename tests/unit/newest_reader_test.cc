// The newest record of each entity: whatever the memory for it, what a naive look over all records
// gives; and then every record that comes, once.
#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "log/newest_table.h"
#include "log/seq_set.h"
#include "support/random_history.h"

using namespace klog;
using namespace klog::test;

namespace {

struct Filters {
    std::vector<std::string> filters;
    std::vector<std::string> nots;
};

bool matches(const Filters& asked, const std::string& topic) {
    const auto hits = [&](const std::string& filter) {
        if (filter == ">") return true;
        if (filter.ends_with("/>")) return topic.starts_with(filter.substr(0, filter.size() - 1));
        return filter == topic;
    };
    return std::any_of(asked.filters.begin(), asked.filters.end(), hits) &&
           std::none_of(asked.nots.begin(), asked.nots.end(), hits);
}

struct NewestHistory : RandomHistory {
    using RandomHistory::RandomHistory;

    // Of what matches behind `after`, up to `pinned`.
    [[nodiscard]] std::vector<Got> newest(const Filters& asked, const std::string& key,
                                          std::uint64_t after, std::uint64_t pinned) const {
        std::map<std::pair<std::string, std::string>, std::uint64_t> last;
        const auto counts = [&](const Got& record) {
            return record.seq > after && record.seq <= pinned && matches(asked, record.topic) &&
                   (key.empty() || record.key == key);
        };
        const auto entity = [](const Got& record) {
            return std::pair(record.topic.substr(0, record.topic.find('/')), record.key);
        };
        for (const Got& record : written) {
            if (counts(record)) last[entity(record)] = record.seq;
        }
        std::vector<Got> found;
        for (const Got& record : written) {
            const bool shown = record.key.empty() || last[entity(record)] == record.seq;
            if (counts(record) && shown) found.push_back(record);
        }
        return found;
    }

    void check() {
        static const std::vector<Filters> kFilters = {
            {{">"}, {}},      {{"a/>"}, {}},           {{"a/1", "b/>"}, {}},
            {{">"}, {"a/>"}}, {{">"}, {"a/0", "b/2"}}, {{"b/3"}, {}},
            {{"nothing"}, {}}};
        const Filters& asked = kFilters[random() % kFilters.size()];
        const std::uint64_t head = written.size();
        ReadOptions read;
        read.newest_per_key = true;
        read.filters = asked.filters;
        read.not_filters = asked.nots;
        std::string key;
        if (random() % 5 == 0) read.key = key = random() % 2 == 0 ? "hot1" : "cold7";
        read.follow = random() % 2 == 0;
        std::uint64_t after = 0;
        if (random() % 3 == 0) {
            after = random() % (head + 1);
            read.from.form = ReadFrom::Form::after;
            read.from.seq = Seq{after};
        }
        std::uint64_t pinned = head;
        if (random() % 3 == 0) {
            read.until_seq = Seq{1 + random() % head};
            pinned = read.until_seq->value;
        }
        std::vector<Got> wanted = newest(asked, key, after, pinned);
        if (after == 0 && random() % 4 == 0) {
            read.from.form = ReadFrom::Form::last;
            read.from.count = 1 + random() % (wanted.size() + 3);
            const std::size_t shown = std::min<std::size_t>(wanted.size(), read.from.count);
            wanted.erase(wanted.begin(), wanted.end() - static_cast<std::ptrdiff_t>(shown));
        }
        CAPTURE(asked.filters.front());
        CAPTURE(key);
        CAPTURE(after);
        CAPTURE(pinned);
        CAPTURE(read.follow);
        CAPTURE(static_cast<int>(read.from.form));
        CAPTURE(read.from.count);
        const auto reader = log().read(read);
        REQUIRE(reader.ok());
        CHECK((*reader)->begin_after() == Seq{after});
        const auto got = read_all(**reader, 1 + random() % 300);
        REQUIRE_MESSAGE(got.ok(), got.error().message);
        CHECK(*got == wanted);
    }
};

}  // namespace

TEST_CASE("newest: a set of seqs is what a set is, and gives its memory back") {
    std::mt19937_64 random(7);
    ByteBudget budget(1U << 20U);
    for (int round = 0; round < 20; ++round) {
        const std::uint64_t after = random() % 5000;
        const std::uint64_t last = after + 1 + random() % 20000;
        ByteShare share(budget, 1U << 20U);
        std::set<std::uint64_t> known;
        {
            SeqSet set(Seq{after}, Seq{last}, share);
            const std::uint64_t density = 1 + random() % 3000;
            for (std::uint64_t i = 0; i < (last - after) / density + 2; ++i) {
                const std::uint64_t seq = after + 1 + random() % (last - after);
                known.insert(seq);
                REQUIRE(set.add(Seq{seq}));
            }
            if (round % 2 == 0) {
                const std::uint64_t count = random() % (known.size() + 2);
                while (known.size() > count) known.erase(known.begin());
                set.keep_last(count);
            }
            std::vector<std::uint64_t> listed;
            for (auto at = set.next(Seq{0}); at; at = set.next(Seq{at->value + 1})) {
                listed.push_back(at->value);
                CHECK(set.has(*at));
                if (random() % 4 == 0) set.drop_before(*at);
            }
            CHECK(listed == std::vector<std::uint64_t>(known.begin(), known.end()));
            CHECK_FALSE(set.has(Seq{after}));
        }
        CHECK(budget.left() == budget.bytes_max());
    }
    ByteShare little(budget, 200);
    SeqSet set(Seq{0}, Seq{1U << 20U}, little);
    CHECK(set.add(Seq{5}));
    CHECK_FALSE(set.add(Seq{1U << 20U}));
    CHECK(little.at_limit());
    CHECK(set.has(Seq{5}));
}

TEST_CASE("newest: a table that is full goes on with half of the hashes") {
    std::mt19937_64 random(11);
    ByteBudget budget(1U << 20U);
    ByteShare share(budget, NewestTable::kSlotsMin * NewestTable::kSlotBytes);
    NewestTable table(share);
    table.begin(0, ~0ULL);
    std::map<Hash128, std::uint64_t> known;
    std::vector<Hash128> entities;
    for (int i = 0; i < 6000; ++i) {
        // Many of them share their home, so that they stand in each other's way.
        entities.push_back({random(), random() % 64 * 16});
    }
    std::uint64_t seq = 0;
    for (int i = 0; i < 30'000; ++i) {
        const Hash128& entity = entities[random() % entities.size()];
        known[entity] = ++seq;
        auto put = table.put(entity, Seq{seq});
        while (put == NewestTable::Put::full) {
            table.halve();
            put = table.put(entity, Seq{seq});
        }
        CHECK((put == NewestTable::Put::outside) == (entity.hi > table.last()));
    }
    std::set<std::uint64_t> wanted;
    for (const auto& [entity, last] : known) {
        if (entity.hi <= table.last()) wanted.insert(last);
    }
    std::set<std::uint64_t> got;
    for (std::size_t slot = 0; slot < table.slots(); ++slot) {
        if (table.seq_in(slot) != Seq{}) got.insert(table.seq_in(slot).value);
    }
    CHECK(table.last() < ~0ULL);
    CHECK(got == wanted);
    CHECK(table.entities() == wanted.size());
    table.release();
    CHECK(budget.left() == budget.bytes_max());
}

TEST_CASE("newest: random histories, sealed or not, through restarts, as a naive look has it") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        CAPTURE(seed);
        NewestHistory history(seed, 64ULL * 1024 << (seed % 3), seed % 4 == 0 ? 1ULL << 30U : 4096);
        for (int life = 0; life < 3; ++life) {
            CAPTURE(life);
            history.fill(200 + history.random() % 3000);
            for (int i = 0; i < 10; ++i) history.check();
            if (history.random() % 2 == 0) history.maintain();
            history.fill(1 + history.random() % 300);
            for (int i = 0; i < 10; ++i) history.check();
            history.end_life();
            history.open();
            for (int i = 0; i < 10; ++i) history.check();
        }
    }
}

TEST_CASE("newest: more entities than memory has room for take several passes") {
    NewestHistory history(3, 256ULL * 1024, 4096);
    history.store.reset();
    history.options.newest_bytes_max = 128 * 1024;  // room for 896 entities
    history.open();
    for (int group = 0; group < 24; ++group) {
        std::vector<Put> puts;
        for (int i = 0; i < 500; ++i) {
            const std::string topic(history.random() % 2 == 0 ? "a/" : "b/");
            puts.push_back({.topic = topic + std::to_string(i % 5),
                            .key = i % 50 == 0 ? "" : std::to_string(history.random() % 4000)});
        }
        const auto results = write(history.log(), puts);
        for (std::size_t i = 0; i < puts.size(); ++i) {
            history.written.push_back({results[i].seq.value, results[i].version.value,
                                       puts[i].topic, puts[i].key, "1", ""});
        }
    }
    history.maintain();
    for (int i = 0; i < 30; ++i) history.check();
    const auto wanted = history.newest({{">"}, {}}, "", 0, history.written.size());
    REQUIRE(wanted.size() > 4 * 896);
}

TEST_CASE("newest: what comes meanwhile follows, each record once, concurrent writers or not") {
    for (const bool passes : {false, true}) {
        NewestHistory history(5, 256ULL * 1024, 4096);
        history.store.reset();
        history.options.newest_bytes_max = passes ? 128 * 1024 : 1U << 20U;
        history.open();
        const auto put = [](int i) {
            return Put{.topic = i % 3 == 0 ? "a/1" : "b/2",
                       .key = i % 7 == 0 ? "" : std::to_string(i * 7919 % 2000)};
        };
        for (int i = 0; i < 4000; i += 100) {
            std::vector<Put> puts;
            for (int k = i; k < i + 100; ++k) puts.push_back(put(k));
            for (const auto& result : write(history.log(), puts)) {
                REQUIRE(result.outcome == WriteResult::Outcome::written);
            }
        }
        std::atomic<bool> begun{false};
        std::jthread writer([&] {
            for (int i = 4000; i < 6000; ++i) {
                write_one(history.log(), put(i));
                begun = true;
            }
        });
        while (!begun) std::this_thread::yield();
        ReadOptions read;
        read.newest_per_key = true;
        read.follow = true;
        const auto reader = history.log().read(read);
        REQUIRE(reader.ok());
        const std::uint64_t pinned = (*reader)->end_at().value;
        REQUIRE(pinned > 4000);
        std::vector<Got> got;
        // One comes between any two steps, whatever the writer's thread is given to do.
        int mine = 6000;
        for (Seq read_to; read_to < Seq{7000};) {
            if (mine < 7000) write_one(history.log(), put(mine++));
            auto chunk = (*reader)->read(64 * 1024, 100);
            REQUIRE(chunk.ok());
            for (const RecordView& record : chunk->records) got.push_back(copy(record));
            read_to = chunk->read_to;
        }
        writer.join();
        const auto all = read_all(history.log());
        REQUIRE(all.ok());
        history.written = *all;
        std::vector<Got> wanted = history.newest({{">"}, {}}, "", 0, pinned);
        wanted.insert(wanted.end(), all->begin() + static_cast<std::ptrdiff_t>(pinned), all->end());
        CHECK(got == wanted);
    }
}

TEST_CASE("newest: going on behind what was shown last shows the rest, and nothing again") {
    NewestHistory history(6, 64ULL * 1024, 4096);
    history.fill(3000);
    const auto whole = history.newest({{">"}, {}}, "", 0, history.written.size());
    for (int i = 0; i < 10; ++i) {
        const std::size_t shown = history.random() % whole.size();
        ReadOptions read;
        read.newest_per_key = true;
        read.from.form = ReadFrom::Form::after;
        read.from.seq = Seq{whole[shown].seq};
        const auto rest = read_all(history.log(), read);
        REQUIRE(rest.ok());
        CHECK(*rest == std::vector<Got>(whole.begin() + static_cast<std::ptrdiff_t>(shown) + 1,
                                        whole.end()));
    }
}

TEST_CASE("newest: readers share their memory, and the one too many is told to come again") {
    NewestHistory history(9, 256ULL * 1024, 4096);
    history.store.reset();
    history.options.newest_bytes_max = 128 * 1024;
    history.open();
    std::vector<Put> puts;
    for (int i = 0; i < 2000; ++i) puts.push_back({.topic = "a/1", .key = std::to_string(i)});
    write(history.log(), puts);
    ReadOptions read;
    read.newest_per_key = true;
    std::vector<std::unique_ptr<Reader>> readers;
    std::optional<Error> refused;
    while (!refused) {
        REQUIRE(readers.size() < 10);
        readers.push_back(history.log().read(read).value());
        auto chunk = readers.back()->read(1024, 1);
        if (!chunk) refused = chunk.error();
    }
    CHECK(refused->code == Code::backpressure);
    CHECK_FALSE(refused->hint.empty());
    CHECK(readers.size() > 2);
    readers.clear();
    CHECK(read_all(history.log(), read)->size() == 2000);
}

TEST_CASE("newest: more marks than one read may have are an error that says so") {
    NewestHistory history(10, 1U << 20U, 1ULL << 30U);
    history.store.reset();
    history.options.newest_bytes_max = 128 * 1024;
    history.open();
    // One in a thousand: a page of marks for each.
    std::vector<Put> puts(1000, Put{.topic = "a/1"});
    puts.back().topic = "b/1";
    for (int i = 0; i < 260; ++i) write(history.log(), puts);
    ReadOptions read;
    read.newest_per_key = true;
    read.filters = {"b/>"};
    const auto got = read_all(history.log(), read);
    REQUIRE_FALSE(got.ok());
    CHECK(got.error().code == Code::too_many);
    read.from.form = ReadFrom::Form::after;
    read.from.seq = Seq{200'000};
    CHECK(read_all(history.log(), read)->size() == 60);
}
