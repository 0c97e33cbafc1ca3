#include "daemon/config/config.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace {

using klog::Code;
using klog::config::load;
using klog::config::Settings;
using klog::config::Sources;

// A home, a working directory and an environment of its own for each case.
class Place {
public:
    Place() : before_(std::filesystem::current_path()) {
        std::string pattern = (std::filesystem::temp_directory_path() / "klog-config-XXXXXX");
        root_ = ::mkdtemp(pattern.data());
        std::filesystem::create_directories(root_ / "work");
        std::filesystem::create_directories(root_ / "home/.config/klog");
        std::filesystem::current_path(root_ / "work");
        variables["HOME"] = root_ / "home";
    }
    ~Place() {
        std::filesystem::current_path(before_);
        std::filesystem::remove_all(root_);
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    void local(const std::string& text) { write(root_ / "work/klog.yaml", text); }
    void user(const std::string& text) { write(root_ / "home/.config/klog/klog.yaml", text); }
    std::string write(const std::filesystem::path& path, const std::string& text) {
        std::ofstream(path) << text;
        return path;
    }
    [[nodiscard]] std::filesystem::path root() const { return root_; }

    Sources sources() {
        Sources made;
        made.environment = [this](const std::string& name) -> std::optional<std::string> {
            const auto found = variables.find(name);
            if (found == variables.end()) return std::nullopt;
            return found->second;
        };
        return made;
    }
    Settings loaded() { return loaded(sources()); }
    static Settings loaded(const Sources& sources) {
        auto settings = load(sources);
        if (!settings) FAIL(settings.error().message);
        return *settings;
    }

    std::map<std::string, std::string> variables;

private:
    std::filesystem::path root_;
    std::filesystem::path before_;
};

TEST_CASE("config: without files every setting has its default and says so") {
    Place place;
    const Settings settings = place.loaded();
    CHECK(settings.at("tenant").value == "default");
    CHECK(settings.at("tenant").origin == "default");
    CHECK(settings.at("tenant").rank == 5);
    CHECK(settings.at("value_bytes_max").value == "1048576");
    CHECK(settings.at("url").value.empty());
    CHECK(settings.at("data_dir").value == place.variables["HOME"] + "/.local/share/klog");
}

TEST_CASE("config: a flag beats the environment beats ./klog.yaml beats the user's file") {
    Place place;
    place.user("url: http://user:1\ntimeout: 4s\noutput: json\ncolor: never\n");
    place.local("url: http://local:1\ntimeout: 3s\noutput: value\n");
    place.variables["KLOG_URL"] = "http://environment:1";
    place.variables["KLOG_TIMEOUT"] = "2s";
    Sources sources = place.sources();
    sources.flags = {{"url", "http://flag:1"}};
    const Settings settings = Place::loaded(sources);
    CHECK(settings.at("url").value == "http://flag:1");
    CHECK(settings.at("url").origin == "flag --url");
    CHECK(settings.at("url").rank == 0);
    CHECK(settings.at("timeout").value == "2s");
    CHECK(settings.at("timeout").origin == "environment KLOG_TIMEOUT");
    CHECK(settings.at("output").value == "value");
    CHECK(settings.at("output").origin == "./klog.yaml:3");
    CHECK(settings.at("color").value == "never");
    CHECK(settings.at("color").rank == 3);
}

TEST_CASE("config: an empty variable counts as unset") {
    Place place;
    place.local("url: http://local:1\n");
    place.variables["KLOG_URL"] = "";
    CHECK(place.loaded().at("url").value == "http://local:1");
}

TEST_CASE("config: XDG folders count only where they are absolute") {
    Place place;
    place.variables["XDG_DATA_HOME"] = "relative";
    place.variables["XDG_RUNTIME_DIR"] = "relative";
    const Sources sources = place.sources();
    CHECK(klog::config::default_data_dir(sources.environment) ==
          place.variables["HOME"] + "/.local/share/klog");
    CHECK(klog::config::runtime_socket(sources.environment).empty());
    place.variables["XDG_DATA_HOME"] = "/data/";
    place.variables["XDG_RUNTIME_DIR"] = "/run/me";
    CHECK(klog::config::default_data_dir(sources.environment) == "/data/klog");
    CHECK(klog::config::runtime_socket(sources.environment) == "/run/me/klog/klog.sock");
    place.variables.clear();
    CHECK(klog::config::default_data_dir(sources.environment).empty());
}

TEST_CASE("config: an unknown setting names file, line and the nearest name") {
    Place place;
    place.local("# ours\nurl: http://local:1\ntime_out: 3s\n");
    const auto settings = load(place.sources());
    REQUIRE(!settings.ok());
    CHECK(settings.error().code == Code::config);
    CHECK(settings.error().message == "./klog.yaml:3: there is no setting time_out");
    CHECK(settings.error().hint == "did you mean timeout?");
}

TEST_CASE("config: what is wrong in a file is an error with its line") {
    const std::map<std::string, std::string> cases = {
        {"url: [a\n", "not YAML"},
        {"- url\n", "./klog.yaml:1: settings stand as name: value"},
        {"url: http://a:1\nurl: http://b:1\n", "./klog.yaml:2: url stands there twice"},
        {"\nurl: ftp://a\n", "./klog.yaml:2: url takes unix:///path"},
        {"url:\n", "./klog.yaml:1: url has no value"},
        {"url: ''\n", "./klog.yaml:1: url has no value"},
        {"url: [http://a:1]\n", "./klog.yaml:1: url takes one value"},
        {"timeout: 5\n", "./klog.yaml:1: timeout takes a number and a unit"},
        {"value_bytes_max: 67108865\n", "./klog.yaml:1: value_bytes_max takes a number of bytes"},
        {"value_bytes_max: 0\n", "value_bytes_max takes"},
        {"value_bytes_max: 99999999999999999999999\n", "value_bytes_max takes"},
        {"ephemeral: maybe\n", "ephemeral takes true or false"},
        {"read_only: maybe\n", "read_only takes true or false"},
        {"contexts: 3\n", "./klog.yaml:1: contexts takes a mapping"},
        {"contexts:\n  a: 3\n", "./klog.yaml:2: a context takes url, tenant and token_file"},
        {"contexts:\n  a:\n    data_dir: /x\n", "./klog.yaml:3: there is no setting data_dir in a"},
    };
    for (const auto& item : cases) {
        const auto& text = item.first;
        const auto& message = item.second;
        Place place;
        place.local(text);
        CAPTURE(text);
        const auto settings = load(place.sources());
        REQUIRE(!settings.ok());
        CHECK(settings.error().code == Code::config);
        CAPTURE(settings.error().message);
        CHECK(settings.error().message.find(message) != std::string::npos);
    }
}

TEST_CASE("config: a bad value on the command line is that option's error") {
    Place place;
    Sources sources = place.sources();
    sources.flags = {{"value_bytes_max", "many"}};
    const auto settings = load(sources);
    REQUIRE(!settings.ok());
    CHECK(settings.error().code == Code::bad_option);
    CHECK(settings.error().message.find("--value-bytes-max takes") == 0);
    place.variables["KLOG_TIMEOUT"] = "soon";
    const auto from_environment = load(place.sources());
    REQUIRE(!from_environment.ok());
    CHECK(from_environment.error().code == Code::config);
    CHECK(from_environment.error().message.find("KLOG_TIMEOUT takes") == 0);
}

TEST_CASE("config: lists may stand in files, and options that repeat add up") {
    Place place;
    place.local("listen: [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nallow_origin: http://a\n");
    CHECK(place.loaded().at("listen").value == "127.0.0.1:1 127.0.0.1:2");
    CHECK(place.loaded().at("allow_origin").value == "http://a");
    Sources sources = place.sources();
    sources.flags = {{"listen", "[::1]:1"}, {"listen", "[::1]:2"}};
    CHECK(Place::loaded(sources).at("listen").value == "[::1]:1 [::1]:2");
}

TEST_CASE("config: paths in a file are relative to that file") {
    Place place;
    place.user("data_dir: data\nsocket: ~/s\ntoken_file: /t\n");
    const Settings settings = place.loaded();
    CHECK(settings.at("data_dir").value == place.variables["HOME"] + "/.config/klog/data");
    CHECK(settings.at("socket").value == place.variables["HOME"] + "/s");
    CHECK(settings.at("token_file").value == "/t");
}

TEST_CASE("config: a file that is named stands alone, and must be there") {
    Place place;
    place.local("url: http://local:1\n");
    place.user("timeout: 4s\n");
    const std::string named = place.write(place.root() / "other.yaml", "output: json\n");
    Sources sources = place.sources();
    sources.file = named;
    const Settings settings = Place::loaded(sources);
    CHECK(settings.at("url").value.empty());
    CHECK(settings.at("timeout").value.empty());
    CHECK(settings.at("output").origin == named + ":1");
    place.variables["KLOG_CONFIG"] = named;
    CHECK(place.loaded().at("output").value == "json");
    place.variables["KLOG_CONFIG"] = named + ".missing";
    const auto missing = load(place.sources());
    REQUIRE(!missing.ok());
    CHECK(missing.error().code == Code::no_input);
}

TEST_CASE("config: no_files leaves files and the daemon's environment out") {
    Place place;
    place.local("value_bytes_max: 5\n");
    place.variables["KLOG_CONFIG"] = "/no/such/file";
    place.variables["KLOG_DATA_DIR"] = "/elsewhere";
    Sources sources = place.sources();
    sources.no_files = true;
    const Settings settings = Place::loaded(sources);
    CHECK(settings.at("value_bytes_max").rank == 5);
    CHECK(settings.at("data_dir").rank == 5);
    sources.file = place.write(place.root() / "other.yaml", "value_bytes_max: 7\n");
    CHECK(Place::loaded(sources).at("value_bytes_max").value == "7");
}

TEST_CASE("config: a context counts where it was picked, with the rank of its file") {
    Place place;
    place.user(
        "url: http://user:1\ncontext: near\ncontexts:\n"
        "  near: {url: \"http://near:1\", tenant: default}\n"
        "  far: {url: \"http://far:1\", token_file: far.token}\n");
    Settings settings = place.loaded();
    // The file that picks the context also names a URL outright, which is stronger.
    CHECK(settings.at("url").value == "http://user:1");
    place.variables["KLOG_CONTEXT"] = "far";
    settings = place.loaded();
    CHECK(settings.at("url").value == "http://far:1");
    CHECK(settings.at("url").rank == 3);
    CHECK(settings.at("token_file").value == place.variables["HOME"] + "/.config/klog/far.token");
    CHECK(settings.at("token_file").origin.find(":5 (context far)") != std::string::npos);
    place.variables["KLOG_URL"] = "http://environment:1";
    CHECK(place.loaded().at("url").value == "http://environment:1");
    Sources sources = place.sources();
    sources.flags = {{"context", "near"}};
    CHECK(Place::loaded(sources).at("url").value == "http://near:1");
}

TEST_CASE("config: the strongest file that knows a context defines all of it") {
    Place place;
    place.user("contexts: {c: {url: \"http://user:1\", token_file: /t}}\n");
    place.local("contexts: {c: {url: \"http://local:1\"}}\ncontext: c\n");
    const Settings settings = place.loaded();
    CHECK(settings.at("url").value == "http://local:1");
    CHECK(settings.at("token_file").value.empty());
}

TEST_CASE("config: an unknown context is an error that names the nearest") {
    Place place;
    place.user("contexts: {production: {url: \"http://p:1\"}}\n");
    Sources sources = place.sources();
    sources.flags = {{"context", "prodution"}};
    const auto settings = load(sources);
    REQUIRE(!settings.ok());
    CHECK(settings.error().code == Code::config);
    CHECK(settings.error().hint == "did you mean production?");
}

}  // namespace
