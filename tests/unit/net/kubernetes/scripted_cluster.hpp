// A scripted API server with its client, and a listener that keeps the names of the objects.
#pragma once

#include "probes/net/configured_files.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/kubernetes/client.hpp"
#include "probes/net/kubernetes/message.hpp"
#include "probes/net/kubernetes/reflector.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/net/tls.hpp"

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/http_script.hpp"
#include "unit/support/kubernetes_script.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/protobuf.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net::kubernetes::scripted {

using namespace std::chrono_literals;
using test::http_answer;
using test::HttpScript;
using test::kubernetes_envelope;
using test::Message;
using Names = std::set<std::string>;

inline constexpr Resource kMaps{.group = "", .version = "v1", .plural = "configmaps"};

inline Message object(std::string_view name, int version) {
  return Message().message(1, Message().text(1, name).text(6, std::to_string(version)));
}

inline std::string list(const Names& names, int version, std::string_view token = "") {
  std::vector<Message> objects;
  objects.reserve(names.size());
  for (const std::string& name : names) objects.push_back(object(name, version));
  return test::kubernetes_list(objects, version, token);
}

inline Message status(int code, std::string_view reason) {
  return Message().text(2, "Failure").text(3, "scripted").text(4, reason).number(6, code);
}

inline std::string event(std::string_view type, const Message& object) {
  const std::string frame =
      Message().text(1, type).message(2, Message().text(1, kubernetes_envelope(object))).bytes();
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += static_cast<char>(frame.size() >> static_cast<unsigned>(shift) & 0xff);
  }
  return out + frame;
}

// ---- the listener -------------------------------------------------------------------------------

inline std::string name_of_object(std::string_view bytes) {
  std::string name;
  for_each_field(bytes, [&](Field& field) {
    if (field.tag() != 1) return;
    for_each_field(field.bytes(), [&](Field& meta) {
      if (meta.tag() == 1) name = meta.bytes();
    });
  });
  return name;
}

/// Implements the contract of Listener: an object that is missing from a list is removed at its
/// end.
class KeptNames final : public Listener {
 public:
  Names names;
  int lists = 0;  // completed

  void list_started() override { listed_.clear(); }
  void updated(std::string_view object) override {
    names.insert(name_of_object(object));
    listed_.insert(name_of_object(object));
  }
  void deleted(std::string_view object) override { names.erase(name_of_object(object)); }
  void list_ended() override {
    names = listed_;
    ++lists;
  }

 private:
  Names listed_;
};

/// The objects that several clusters share, so that a test with many clusters is not slower.
struct Shared {
  asio::io_context loop;
  TimerWheel wheel{loop};
  Resolver resolver{loop, wheel, {}};
  ConfiguredFiles files{loop, wheel};
  TlsContexts tls{files};
  HttpClient http{loop, wheel, resolver, tls};
};

inline Timeouts short_timeouts() {
  Timeouts timeouts;
  timeouts.response = timeouts.watch = 5s;
  timeouts.min_delay = timeouts.max_delay = 1ms;
  return timeouts;
}

/// A server and its client.
class Cluster {
 public:
  Cluster(Shared& shared, HttpScript::Script script, const Timeouts& timeouts = short_timeouts())
      : server(shared.loop, std::move(script)),
        client(shared.loop, shared.wheel, shared.files, shared.http, timeouts),
        loop_(shared.loop) {
    client.set_access({.kubeconfig = scratch_.file("kubeconfig", test::kubeconfig_of(server.url())),
                       .context = ""});
  }
  ~Cluster() {
    subscription_.reset();
    client.stop();
    EXPECT_TRUE(until([this] { return client.running() == 0; }));
  }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  void follow() { subscription_.emplace(client, Query{.resource = kMaps}, kept); }
  template <class Condition>
  [[nodiscard]] bool until(const Condition& condition) {
    return test::run_until(loop_, condition);
  }
  [[nodiscard]] const std::optional<Failure>& failure() const {
    return subscription_->reflector().failure();
  }

  HttpScript server;
  KeptNames kept;
  Client client;

 private:
  asio::io_context& loop_;
  test::TempDirectory scratch_;
  std::optional<Client::Subscription> subscription_;
};

inline bool has(std::string_view target, std::string_view parameter) {
  return target.contains(parameter);
}

/// The response of a server without WatchList.
inline const HttpScript::Reply kNoWatchList{http_answer(400, "sendInitialEvents is forbidden")};

}  // namespace vitalsd::net::kubernetes::scripted
