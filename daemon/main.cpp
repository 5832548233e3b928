// The command line. It contains no logic: each command calls a function in another file.
#include "daemon/absence.hpp"
#include "daemon/app.hpp"
#include "daemon/check.hpp"
#include "daemon/completion.hpp"
#include "daemon/health_check.hpp"
#include "daemon/init.hpp"
#include "daemon/output.hpp"
#include "daemon/reference.hpp"
#include "daemon/usage.hpp"
#include "daemon/version.hpp"
#include "exporter/web/filter.hpp"
#include "exporter/web/verdict.hpp"
#include "probes/registry.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <unistd.h>

namespace {

using namespace vitalsd;

// Parses "0/3" or "auto/3". auto is the number at the end of the host name, which a StatefulSet
// gives to its pods.
std::optional<Shard> parse_shard(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  std::string index = text.substr(0, slash);
  if (index == "auto") {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    const std::string name = host.data();
    index = name.substr(name.rfind('-') + 1);
  }
  const auto number = config::Scalar<std::int64_t>::parse(index);
  const auto count = config::Scalar<std::int64_t>::parse(text.substr(slash + 1));
  constexpr std::int64_t kMax = 1000;
  if (!number || !count || *count < 1 || *count > kMax || *number < 0 || *number >= *count) {
    return std::nullopt;
  }
  return Shard{static_cast<std::uint32_t>(*number), static_cast<std::uint32_t>(*count)};
}

int serve(const std::string& config, const std::string& listen, const std::string& shard) {
  App::Options options{config, std::nullopt, {}};
  if (!shard.empty()) {
    const std::optional<Shard> parsed = parse_shard(shard);
    if (!parsed) {
      std::fprintf(
          stderr,
          "--shard: %s is not INDEX/COUNT, such as 0/3 for the first of three, or auto/COUNT "
          "on a host whose name ends in -INDEX\n",
          config::quoted(shard).c_str());
      return static_cast<int>(Exit::config);
    }
    options.shard = *parsed;
  }
  if (!listen.empty()) {
    const auto address = config::Scalar<config::ListenAddress>::parse(listen);
    if (!address) {
      std::fprintf(stderr, "--listen: %s\n", address.error().c_str());
      return static_cast<int>(Exit::config);
    }
    options.listen = address->endpoint;
  }
  return static_cast<int>(App(std::move(options)).run());
}

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return 0;
}

int run(int argc, char** argv) {
  CLI::App cli{"vitalsd monitors the health of a platform and publishes it as Prometheus metrics.",
               "vitalsd"};
  const std::string version = "vitalsd " + std::string(kVersion) + " (" + std::string(kRevision) +
                              ", " + std::string(kCompiler) + ")";
  cli.set_version_flag("--version", version);
  std::string config = "/etc/vitalsd/vitalsd.yaml";
  std::string listen;
  const CLI::Option* daemon_config =
      cli.add_option("--config,-c", config, "Configuration file; - is standard input")
          ->type_name("FILE")
          ->capture_default_str();
  cli.add_option("--listen", listen, "Address to listen on; overrides web.listen")
      ->type_name("HOST:PORT");
  std::string shard;
  cli.add_option("--shard", shard,
                 "This process's share of the work, such as 0/3; auto/3 takes the index from the "
                 "end of the host name")
      ->type_name("INDEX/COUNT");
  cli.require_subcommand(0, 1);

  CLI::App* check =
      cli.add_subcommand("check", "Run every probe once and print a verdict for each");
  CheckOptions check_options;
  std::vector<std::string> labels;
  bool failed_only = false;
  check
      ->add_option("PROBE", check_options.filter.names,
                   "Names of the probes to run, or patterns such as 'db-*'; default: all")
      ->type_name("");
  check
      ->add_option("--kind", check_options.filter.kinds,
                   "Run the probes of these kinds only; may be repeated")
      ->allow_extra_args(false)
      ->delimiter(',')
      ->type_name("KIND")
      ->option_text("KIND[,KIND...]");
  check
      ->add_option("--label", labels,
                   "Run the probes with this label only, such as team=db; may be repeated")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return text.find('=') > 0 && text.contains('=') ? "" : "use NAME=VALUE";
          },
          ""))
      ->allow_extra_args(false)
      ->type_name("NAME=VALUE")
      ->option_text("NAME=VALUE");
  check->add_flag("--failed", failed_only, "Print the probes that are not ok only");
  check->add_flag("--quiet,-q", check_options.quiet, "Print nothing; the exit code is the result");
  CLI::Option* check_config =
      check->add_option("--config,-c", config, "Configuration file; - is standard input")
          ->type_name("FILE")
          ->capture_default_str();
  CLI::Option* status =
      check
          ->add_option("--status", check_options.status_url,
                       "Ask the running vitalsd at this URL, such as http://127.0.0.1:9747, "
                       "instead of running the probes; $VITALSD_PASSWORD is the password of a "
                       "user in the URL")
          ->excludes(check_config)
          ->type_name("URL");
  check->add_option("--ca", check_options.ca, "PEM file of trusted CAs for --status")
      ->needs(status)
      ->type_name("FILE");
  std::string sort = "state";
  check->add_option("--sort", sort, "state (the most severe first) or name")
      ->check(CLI::IsMember({"state", "name"}))
      ->type_name("ORDER")
      ->capture_default_str();
  using Format = CheckOptions::Format;
  const std::map<std::string, Format> formats = {{"text", Format::text},
                                                 {"json", Format::json},
                                                 {"nagios", Format::nagios},
                                                 {"markdown", Format::markdown}};
  std::string format = "text";
  check->add_option("--format", format, "text, json, nagios or markdown")
      ->check(CLI::IsMember(formats))
      ->type_name("FORMAT")
      ->capture_default_str();
  check->footer(
      "Exit: 0 ok, 1 warning, 2 critical, 3 unknown, invalid configuration or invalid usage.");

  CLI::App* config_command = cli.add_subcommand("config", "Commands for configuration files");
  config_command->require_subcommand(1);
  CLI::App* config_check = config_command->add_subcommand("check", "Report all problems of a file");
  config_check->add_option("FILE", config, "Configuration file; - is standard input")
      ->type_name("PATH")
      ->capture_default_str();
  bool strict = false;
  config_check->add_flag("--strict", strict, "Warnings are errors");
  config_check->footer(
      "It also warns of files and environment variables that cannot be used here, by this user. "
      "Exit: 0 valid, 2 invalid.");

  CLI::App* config_reference = config_command->add_subcommand(
      "reference", "Print all configuration keys as a Markdown page");

  CLI::App* config_permissions = config_command->add_subcommand(
      "permissions", "Print the Kubernetes permissions that each kind of probe needs");

  CLI::App* health = cli.add_subcommand(
      "healthcheck", "Check whether the probe loop of a running vitalsd is responsive");
  std::string url = "http://127.0.0.1:9747/-/healthy";
  health->add_option("--url", url, "URL of its health page")
      ->type_name("URL")
      ->capture_default_str();
  health->footer("Exit: 0 healthy, 1 unhealthy or no response, 2 invalid URL.");

  CLI::App* init = cli.add_subcommand(
      "init", "Print a starter configuration from what is found here, without secrets");
  std::string output;
  init->add_option("--output,-o", output,
                   "Write a new file instead; an existing one is not changed")
      ->type_name("FILE");
  init->footer("Exit: 0 written, 1 the file exists or cannot be written.");

  CLI::App* metrics = cli.add_subcommand("metrics", "List all metrics that can be published");
  bool markdown = false;
  metrics->add_flag("--markdown", markdown, "Print a Markdown page");

  CLI::App* rules =
      cli.add_subcommand("rules", "Print alert rules that depend on the configuration");
  rules->require_subcommand(1);
  CLI::App* absent = rules->add_subcommand(
      "absent", "Print rules that fire when a series that documented rules read does not exist");
  bool all_kinds = false;
  absent->add_option("--config,-c", config, "Configuration file; - is standard input")
      ->type_name("FILE")
      ->capture_default_str();
  absent->add_flag("--all-kinds", all_kinds, "For all kinds instead of the configured kinds");
  absent->footer("Exit: 0 success, 2 invalid configuration.");

  CLI::App* completion = cli.add_subcommand("completion", "Print the completion script of a shell");
  std::string shell;
  completion->add_option("SHELL", shell, "bash, zsh or fish")
      ->check(CLI::IsMember({std::string(kBash), std::string(kZsh), std::string(kFish)}))
      ->required()
      ->type_name("");

  CLI::App* help = cli.add_subcommand("help", "Print the help of a command");
  std::vector<std::string> command;
  help->add_option("COMMAND", command, "The command, for example config check")->type_name("");
  CLI::App* print_version = cli.add_subcommand("version", "Print the version");

  // Commands inherit the footer that exists when they are added.
  cli.footer(
      "Without a command, vitalsd runs until SIGTERM and reloads on SIGHUP. "
      "Exit: 0 stopped, 1 failed, 2 invalid configuration or usage, 3 cannot bind.");

  try {
    cli.parse(argc, argv);
    refuse_daemon_options(cli);
    if (*daemon_config && *status) throw CLI::ExcludesError("--status", "--config");
    if (*help) return print(help_of(cli, command));
  } catch (const CLI::Success& e) {
    return cli.exit(e);
  } catch (const CLI::ParseError& e) {
    std::fputs(usage_error(cli, e).c_str(), stderr);
    return *check ? static_cast<int>(Verdict::unknown) : static_cast<int>(Exit::config);
  }
  if (*print_version) return print(version + '\n');
  if (*check) {
    check_options.config_file = config;
    check_options.format = formats.at(format);
    check_options.by_name = sort == "name";
    for (const std::string& label : labels) {
      const std::size_t end = label.find('=');
      check_options.filter.labels.emplace_back(label.substr(0, end), label.substr(end + 1));
    }
    if (failed_only) add_states("failed", check_options.filter.states);
    return *status ? show_status(check_options) : run_check(check_options);
  }
  if (*config_check) return check_configuration(config, strict);
  if (*config_reference) return print(configuration_reference());
  if (*config_permissions) return print(permissions_reference());
  if (*init) return initialize(output);
  if (*health) return check_health(url);
  if (*metrics) return print(metrics_reference(markdown));
  if (*completion) return print(completion_script(cli, shell, kind_names()));
  if (*absent) return print_absence_rules(all_kinds ? "" : config);
  return serve(config, listen, shard);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return finish_output(run(argc, argv));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "vitalsd: %s\n", e.what());
    return static_cast<int>(Exit::failure);
  }
}
