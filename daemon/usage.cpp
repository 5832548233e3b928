#include "daemon/usage.hpp"

#include "config/problems.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace vitalsd {
namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& cli) {
  return cli.get_subcommands([](const CLI::App* command) { return !command->get_name().empty(); });
}

// "vitalsd config check": the command as far as it was recognized.
std::string full_name(const CLI::App& cli) {
  const CLI::App* parent = cli.get_parent();
  return (parent ? full_name(*parent) + ' ' : "") + cli.get_name();
}

// The command that has the option, of `cli` and those below it; null if there is none.
const CLI::App* owner_of(const CLI::App& cli, const std::string& option) {
  if (cli.get_option_no_throw(option) != nullptr) return &cli;
  for (const CLI::App* command : commands_of(cli)) {
    if (const CLI::App* owner = owner_of(*command, option)) return owner;
  }
  return nullptr;
}

std::string unexpected(const CLI::App& cli, const std::string& argument) {
  std::vector<std::string> known;
  if (argument.starts_with('-')) {
    for (const CLI::Option* option : cli.get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  } else {
    for (const CLI::App* command : commands_of(cli)) known.push_back(command->get_name());
  }
  return (known.empty() || argument.starts_with('-') ? "unexpected argument "
                                                     : "unknown command ") +
         config::quoted(argument) + config::did_you_mean(argument, {known.begin(), known.end()});
}

// The command as far as it was recognized: check of config of vitalsd.
const CLI::App& last_command(const CLI::App& cli) {
  const CLI::App* command = &cli;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return *command;
}

}  // namespace

std::string usage_error(const CLI::App& cli, const CLI::ParseError& error) {
  const CLI::App& command = last_command(cli);
  const CLI::App* place = &command;
  std::vector<std::string> unknown = command.remaining();
  while (unknown.empty() && place->get_parent() != nullptr) {
    place = place->get_parent();  // the argument precedes the name of the command
    unknown = place->remaining();
  }
  const std::string name = full_name(command);
  std::string problem = error.what();
  if (!unknown.empty()) {
    const std::string& first = unknown.front();
    const std::string option = first.substr(0, first.find('='));
    const CLI::App* owner = option.starts_with('-') ? owner_of(command, option) : nullptr;
    if (owner == nullptr) {
      problem = unexpected(*place, first);
    } else {
      problem =
          config::quoted(option) + " must follow the command: " + full_name(*owner) + ' ' + option;
    }
  }
  return name + ": " + problem + "\nRun '" + name + " --help' for more information.\n";
}

void refuse_daemon_options(const CLI::App& cli) {
  const CLI::App& command = last_command(cli);
  if (&command == &cli) return;
  for (const CLI::Option* option : cli.get_options()) {
    if (option->count() == 0) continue;
    const std::string name = option->get_name();
    const CLI::Option* same = command.get_option_no_throw(name);
    if (name == "--config" && same == nullptr) same = command.get_option_no_throw("FILE");
    if (same == nullptr) {
      throw CLI::ParseError(name + " is an option of the daemon, which this command does not use",
                            CLI::ExitCodes::ExtrasError);
    }
    if (same->count() > 0) {
      throw CLI::ParseError(
          same->get_name() == name ? name + " is given twice" : name + " and FILE are both given",
          CLI::ExitCodes::ExtrasError);
    }
  }
}

std::string help_of(const CLI::App& cli, const std::vector<std::string>& command) {
  const CLI::App* found = &cli;
  for (const std::string& name : command) {
    const std::vector<const CLI::App*> commands = commands_of(*found);
    const auto next = std::ranges::find(commands, name, &CLI::App::get_name);
    if (next == commands.end()) {
      throw CLI::ParseError(unexpected(*found, name), CLI::ExitCodes::ExtrasError);
    }
    found = *next;
  }
  return found->get_formatter()->make_help(found, full_name(*found), CLI::AppFormatMode::Normal);
}

}  // namespace vitalsd
