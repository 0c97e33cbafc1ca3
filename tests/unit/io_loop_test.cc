// The threads under the server: strands, their order, and what wakes whom.
#include "daemon/http/io_loop.h"

#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

#include "support/raw_http.h"

using klog::http::IoLoop;
using klog::http::Strand;
using klog::test::Event;

namespace {

class TestStrand final : public Strand {
public:
    using Strand::begin;
    using Strand::Strand;

    std::atomic<std::uint32_t> events{0};
    std::atomic<int> calls{0};
    std::array<Event, 3> called;

protected:
    void run(const std::function<void()>& work) override { work(); }
    void on_events(std::uint32_t epoll_events) override {
        events = epoll_events;
        called.at(static_cast<std::size_t>(calls++)).set();
    }
};

class EventStrand final : public Strand {
public:
    using Strand::begin;
    EventStrand(IoLoop& loop, std::function<void()> act) : Strand(loop), act_(std::move(act)) {}

protected:
    void run(const std::function<void()>& work) override { work(); }
    void on_events(std::uint32_t /*epoll_events*/) override { act_(); }

private:
    const std::function<void()> act_;
};

std::shared_ptr<TestStrand> begun(IoLoop& loop) {
    auto strand = std::make_shared<TestStrand>(loop);
    strand->begin();
    return strand;
}

}  // namespace

TEST_SUITE_BEGIN("http loop, concurrent");

TEST_CASE("io loop: a strand runs one piece at a time, each thread's pieces in their order") {
    constexpr int kThreads = 4;
    constexpr int kPieces = 2000;
    IoLoop loop;
    REQUIRE(loop.start(3).ok());
    const auto strand = begun(loop);
    std::array<int, kThreads> newest{};  // only the strand touches it
    std::atomic<bool> inside{false};
    std::atomic<int> wrong{0};
    std::atomic<int> done{0};
    Event all;
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 1; i <= kPieces; ++i) {
                strand->post([&, t, i] {
                    if (inside.exchange(true)) ++wrong;
                    if (std::exchange(newest[static_cast<std::size_t>(t)], i) != i - 1) ++wrong;
                    if (!strand->running_in_this_thread()) ++wrong;
                    inside = false;
                    if (++done == kThreads * kPieces) all.set();
                });
            }
        });
    }
    CHECK(all.wait());
    CHECK(wrong == 0);
    CHECK_FALSE(strand->running_in_this_thread());
    threads.clear();
    loop.stop();
}

TEST_CASE("io loop: what is queued does not wait for a thread that took an event instead") {
    // A thread that looked for both found the event first, and is busy with that for long.
    constexpr int kRounds = 2000;
    constexpr std::chrono::seconds kLimit{20};
    IoLoop loop;
    REQUIRE(loop.start(2).ok());
    std::counting_semaphore<> ran{0};
    std::counting_semaphore<> ended{0};
    std::atomic<int> late{0};
    const auto busy = std::make_shared<EventStrand>(loop, [&] {
        if (!ran.try_acquire_for(kLimit)) ++late;
        ended.release();
    });
    busy->begin();
    const auto other = begun(loop);
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const auto watch = loop.watch(ends[0], busy);
    REQUIRE(watch.ok());
    for (int round = 0; round < kRounds && late == 0; ++round) {
        loop.arm(*watch, ends[0], EPOLLIN);
        char byte = 'x';
        REQUIRE(::write(ends[1], &byte, 1) == 1);
        other->post([&] { ran.release(); });
        REQUIRE(ended.try_acquire_for(2 * kLimit));
        REQUIRE(::read(ends[0], &byte, 1) == 1);
    }
    CHECK(late == 0);
    loop.unwatch(*watch, ends[0]);
    loop.stop();
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_CASE("io loop: what a thread queues beyond one strand does not wait for it") {
    IoLoop loop;
    REQUIRE(loop.start(2).ok());
    const auto first = begun(loop);
    const auto second = begun(loop);
    const auto third = begun(loop);
    Event second_ran;
    Event third_ran;
    Event both;
    bool left = false;
    first->post([&] {
        second->post([&] { second_ran.set(); });
        left = IoLoop::others_wait();
        third->post([&] { third_ran.set(); });
        if (second_ran.wait() && third_ran.wait()) both.set();
    });
    CHECK(both.wait());
    CHECK(left);
    loop.stop();
}

TEST_CASE("io loop: what a thread queued for itself runs as soon as it returns") {
    IoLoop loop;
    REQUIRE(loop.start(1).ok());
    const auto first = begun(loop);
    const auto second = begun(loop);
    Event ran;
    first->post([&] { second->post([&] { ran.set(); }); });
    CHECK(ran.wait());
    loop.stop();
}

TEST_CASE("io loop: an event comes once for each time that it is armed") {
    IoLoop loop;
    REQUIRE(loop.start(2).ok());
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const auto strand = begun(loop);
    const auto watch = loop.watch(ends[0], strand);
    REQUIRE(watch.ok());
    REQUIRE(::write(ends[1], "x", 1) == 1);
    Event looked;
    strand->post([&] { looked.set(); });
    CHECK(looked.wait());
    CHECK(strand->calls == 0);  // it was not armed
    for (int i = 1; i <= 3; ++i) {
        loop.arm(*watch, ends[0], EPOLLIN);
        CHECK(strand->called.at(static_cast<std::size_t>(i - 1)).wait());
        CHECK(strand->calls == i);
        CHECK(strand->events == EPOLLIN);
    }
    loop.unwatch(*watch, ends[0]);
    loop.stop();
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_CASE("io loop: a slot that is used again is not mistaken for the one before") {
    IoLoop loop;
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const auto first = begun(loop);
    const auto old_watch = loop.watch(ends[0], first);
    REQUIRE(old_watch.ok());
    loop.unwatch(*old_watch, ends[0]);
    const auto second = begun(loop);
    const auto watch = loop.watch(ends[0], second);
    REQUIRE(watch.ok());
    CHECK(watch->slot == old_watch->slot);
    CHECK(watch->generation != old_watch->generation);
    loop.unwatch(*old_watch, -1);  // too late: it names nothing any more
    REQUIRE(loop.start(1).ok());
    REQUIRE(::write(ends[1], "x", 1) == 1);
    loop.arm(*watch, ends[0], EPOLLIN);
    CHECK(second->called[0].wait());
    CHECK(first->calls == 0);
    loop.stop();
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_CASE("io loop: what waits when the loop stops is let go of, also what is posted later") {
    const auto token = std::make_shared<int>(0);
    std::weak_ptr<TestStrand> weak;
    {
        IoLoop loop;
        const auto strand = begun(loop);
        weak = strand;
        strand->post([strand, token] {});
        CHECK(token.use_count() == 2);
        loop.stop();
        CHECK(token.use_count() == 1);
        strand->post([strand, token] {});
        CHECK(token.use_count() == 1);
    }
    CHECK(weak.expired());
}

TEST_CASE("io loop: before begin() nothing of a strand runs, and nothing is lost") {
    IoLoop loop;
    REQUIRE(loop.start(2).ok());
    const auto strand = std::make_shared<TestStrand>(loop);
    const auto other = begun(loop);
    Event ran;
    Event other_ran;
    strand->post([&] { ran.set(); });
    other->post([&] { other_ran.set(); });
    CHECK(other_ran.wait());
    CHECK_FALSE(ran.is_set());
    strand->begin();
    CHECK(ran.wait());
    loop.stop();
}

TEST_CASE("io loop: what was posted late waits while others do, but not for ever") {
    constexpr int kLate = 5;
    constexpr int kEarly = 3 * IoLoop::kEarlyInARowMax;
    IoLoop loop;
    REQUIRE(loop.start(1).ok());
    const auto gate = begun(loop);
    Event open;
    Event waits;
    gate->post([&] {
        waits.set();
        (void)open.wait();
    });
    REQUIRE(waits.wait());
    std::vector<bool> ran_late;  // by the one thread
    Event all;
    const auto post = [&](bool late) {
        const auto strand = begun(loop);
        const auto work = [&, late] {
            ran_late.push_back(late);
            if (ran_late.size() == kLate + kEarly) all.set();
        };
        if (late) {
            strand->post_late(work);
        } else {
            strand->post(work);
        }
    };
    for (int i = 0; i < kLate; ++i) post(true);
    for (int i = 0; i < kEarly; ++i) post(false);
    open.set();
    REQUIRE(all.wait());
    loop.stop();
    int in_a_row = 1;  // the gate was one of them
    int early = 0;
    for (const bool late : ran_late) {
        if (early == kEarly) break;  // from here on only late ones are left
        if (late) CHECK(in_a_row == IoLoop::kEarlyInARowMax);
        in_a_row = late ? 0 : in_a_row + 1;
        if (!late) ++early;
        CHECK(in_a_row <= IoLoop::kEarlyInARowMax);
    }
    CHECK(early == kEarly);
}

TEST_CASE("io loop: one thread at a time runs what was posted late, and all of it") {
    constexpr int kThreads = 3;
    constexpr int kStrands = 50;
    constexpr int kRounds = 200;
    IoLoop loop;
    REQUIRE(loop.start(kThreads).ok());
    std::vector<std::shared_ptr<TestStrand>> strands;
    while (strands.size() < kStrands) strands.push_back(begun(loop));
    std::atomic<int> inside{0};
    std::atomic<int> wrong{0};
    std::atomic<int> done{0};
    Event all;
    const auto count = [&] {
        if (++done == 2 * kThreads * kStrands * kRounds) all.set();
    };
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            const auto own = begun(loop);
            for (int i = 0; i < kStrands * kRounds; ++i) {
                strands[static_cast<std::size_t>((i + t) % kStrands)]->post_late([&] {
                    if (++inside > 1) ++wrong;
                    --inside;
                    count();
                });
                own->post(count);
            }
        });
    }
    CHECK(all.wait());
    CHECK(wrong == 0);
    threads.clear();
    loop.stop();
}

TEST_SUITE_END();
