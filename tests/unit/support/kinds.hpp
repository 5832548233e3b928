// Creates a probe of any kind from configuration, runs it against a target that the test provides,
// and returns the results of its runs.
#pragma once

#include "config/settings.hpp"
#include "daemon/build.hpp"
#include "daemon/log.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/error.hpp"
#include "probes/probe.hpp"
#include "probes/services.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/dns_script.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/page.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd::test {

using Labels = std::map<std::string, std::string>;

/// The result of one run.
class Observation {
 public:
  Observation() = default;  // for coroutines that assign a result later
  Observation(std::shared_ptr<const SampleSet> set, std::optional<Failure> thrown)
      : set_(std::move(set)), thrown_(std::move(thrown)) {
    render(*set_);
    for (const auto& [key, part] : set_->parts()) render(part);
    text_ += text_of(thrown_);
  }

  /// Returns the value of the sample with exactly these labels, or std::nullopt if it is missing.
  [[nodiscard]] std::optional<double> value(std::string_view name,
                                            const Labels& labels = {}) const {
    const auto found = std::ranges::find_if(samples_, [&](const ParsedSample& sample) {
      return sample.name == name && sample.labels == labels;
    });
    return found == samples_.end() ? std::nullopt : std::optional(found->value);
  }
  /// The number of samples with this name and any labels.
  [[nodiscard]] std::size_t count(std::string_view name) const {
    return static_cast<std::size_t>(std::ranges::count(samples_, name, &ParsedSample::name));
  }
  [[nodiscard]] std::set<std::string> names() const {
    std::set<std::string> all;
    for (const ParsedSample& sample : samples_) all.insert(sample.name);
    return all;
  }

  /// The failure of the run as a whole: "connect: 127.0.0.1:1: Connection refused". Empty if the
  /// run succeeded.
  [[nodiscard]] std::string failure() const { return text_of(set_->overall(thrown_)); }
  /// True if the run could not observe the target. False if it observed a target that is unhealthy.
  [[nodiscard]] bool threw() const { return thrown_.has_value(); }
  /// The reason of failure() without the detail.
  [[nodiscard]] std::string reason() const {
    const std::string text = failure();
    return text.substr(0, text.find(':'));
  }
  /// The failure of a part, in the same form. "none" if the part does not exist.
  [[nodiscard]] std::string failure(std::string_view part) const {
    const auto found = set_->parts().find(part);
    return found == set_->parts().end() ? "none" : text_of(found->second.failure());
  }
  [[nodiscard]] std::size_t parts() const { return set_->parts().size(); }

  /// Returns the reading of a check, or std::nullopt if the check has none.
  [[nodiscard]] std::optional<double> reading(std::string_view check,
                                              std::string_view object = {}) const {
    const CheckResult* const found = find(check, object);
    return found == nullptr ? std::nullopt : std::optional(found->reading);
  }
  /// Returns the status of a check without configured thresholds, or std::nullopt if it has none.
  [[nodiscard]] std::optional<Status> status(std::string_view check,
                                             std::string_view object = {}) const {
    const CheckResult* const found = find(check, object);
    if (found == nullptr) return std::nullopt;
    return judge(*found->check,
                 found->thresholds.or_else({found->check->warn, found->check->critical}),
                 found->reading);
  }
  /// The number of samples that were left out because their part already has a sample with the same
  /// metric and labels.
  [[nodiscard]] std::size_t duplicates() const { return duplicates_; }
  /// All output of the run: samples and failures. Tests search it for text that must not appear.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  static std::string text_of(const std::optional<Failure>& failure) {
    return failure ? std::string(reason_name(failure->reason)) + ": " + failure->detail : "";
  }
  [[nodiscard]] const CheckResult* find(std::string_view check, std::string_view object) const {
    const auto found = std::ranges::find_if(checks_, [&](const CheckResult& result) {
      return result.check->name == check && result.object == object;
    });
    return found == checks_.end() ? nullptr : &*found;
  }
  void render(const Part& part) {
    Rendering lines;
    part.render(lines, "", duplicates_);
    for (const Fragment& fragment : part.fragments()) {
      if (fragment == nullptr) continue;
      for (const FragmentFamily& family : *fragment) lines.text += family.lines;
    }
    for (ParsedSample& sample : parse_samples(lines.text)) samples_.push_back(std::move(sample));
    checks_.insert(checks_.end(), part.checks().begin(), part.checks().end());
    text_ += lines.text + text_of(part.failure());
  }

  std::shared_ptr<const SampleSet> set_ = std::make_shared<SampleSet>();
  std::optional<Failure> thrown_;
  std::vector<ParsedSample> samples_;
  std::vector<CheckResult> checks_;
  std::size_t duplicates_ = 0;
  std::string text_;
};

/// The loop and the services that probes share. Only names in the hosts file and in `hosts`
/// resolve.
struct ProbeFixture {
  /// `timeouts` apply to the Kubernetes client.
  explicit ProbeFixture(const net::kubernetes::Timeouts& timeouts = {})
      : services(loop, {names.endpoint()}, {}, timeouts) {
    log::configure({config::LogLevel::error, config::LogFormat::logfmt});
  }
  ~ProbeFixture() {
    services.wheel.stop();
    services.wind_down();
  }
  ProbeFixture(const ProbeFixture&) = delete;
  ProbeFixture& operator=(const ProbeFixture&) = delete;

  /// Creates a probe. `options` are the options of the kind: "url: 'http://a', method: HEAD".
  /// Throws std::runtime_error with the problems if the configuration is invalid.
  std::unique_ptr<Probe> make(std::string_view kind, std::string_view options) {
    config::Document document("test.yaml", "probes: [{name: p, kind: " + std::string(kind) + ", " +
                                               std::string(options) + "}]\n");
    std::vector<JobSpec> jobs = build_jobs(document, services.environment);
    if (document.problems().has_errors()) throw std::runtime_error(document.problems().text());
    return std::move(jobs.at(0).probe);
  }

  /// Starts a run. The task returns the observation when the run ends.
  [[nodiscard]] Task<Observation> begin(Probe& probe) { return {loop, run(probe)}; }
  Observation observe(Probe& probe) { return begin(probe).get(); }
  Observation observe(std::string_view kind, std::string_view options) {
    return observe(*make(kind, options));
  }

  template <class Condition>
  [[nodiscard]] bool until(const Condition& condition) {
    return run_until(loop, condition);
  }

  asio::io_context loop{1};
  std::map<std::string, std::vector<std::string>> hosts;  // the IPv4 addresses, in this order
  DnsScript names{loop, [this](const DnsScript::Query& query) {
                    const auto found = hosts.find(query.name);
                    if (found == hosts.end()) return DnsScript::Answer{.code = 3};
                    return ipv4_answer(query, found->second);
                  }};
  ProbeServices services;

 private:
  static asio::awaitable<Observation> run(Probe& probe) {
    const auto set = std::make_shared<SampleSet>();
    std::optional<Failure> thrown;
    try {
      co_await probe.observe(*set);
    } catch (const ProbeError& error) {
      thrown = Failure{error.reason(), error.what()};
    }
    co_return Observation(set, std::move(thrown));
  }
};

}  // namespace vitalsd::test
