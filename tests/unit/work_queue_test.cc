// daemon/http/work_queue.h: who comes first, and that everybody comes.
#include "daemon/http/work_queue.h"

#include <doctest/doctest.h>

#include <string>

using klog::http::WorkQueue;

namespace {

struct Queue {
    WorkQueue queue;
    std::string done;

    void add(std::uint64_t order, char name) {
        queue.add(order, [this, name] { done += name; });
    }
    void run(int count) {
        for (int i = 0; i < count; ++i) {
            if (auto work = queue.take()) work();
        }
    }
};

}  // namespace

TEST_CASE("work queue: the lowest order first, and of one order the first that came") {
    Queue q;
    q.add(30, 'a');
    q.add(10, 'b');
    q.add(20, 'c');
    q.add(10, 'd');
    q.run(2);
    CHECK(q.done == "bd");
    q.add(5, 'e');
    q.run(4);
    CHECK(q.done == "bdeca");
    CHECK_FALSE(q.queue.take());
}

TEST_CASE("work queue: whoever was passed by often enough has its turn") {
    Queue q;
    q.add(1'000'000, 'L');
    for (std::uint64_t i = 0; i < 3 * WorkQueue::kPassedByMax; ++i) {
        q.add(i, '.');
        q.run(1);
    }
    CHECK(q.done.find('L') == WorkQueue::kPassedByMax);
}
