#!/usr/bin/perl
# perform.pl LEDGER MILLISECONDS FAILURES: an action that writes its start and its end into a ledger.
#
# Its first FAILURES attempts fail. Perl, because it starts ten times faster than Python.
use strict;
use warnings;
use Cwd qw(getcwd);
use Fcntl qw(O_WRONLY O_APPEND O_CREAT);
use IO::Handle;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC CLOCK_REALTIME sleep);

my ($ledger, $work, $failures) = @ARGV;
my ($node) = getcwd() =~ m{([^/]+)$};
my $run = "$$-" . clock_gettime(CLOCK_MONOTONIC);
sysopen(my $file, $ledger, O_WRONLY | O_APPEND | O_CREAT) or die "$ledger: $!";

sub note {
    my $line = sprintf '{"what":"%s","at":%.6f,"clock":%.3f,"run":"%s","node":"%s"', shift,
        clock_gettime(CLOCK_MONOTONIC), 1000 * clock_gettime(CLOCK_REALTIME), $run, $node;
    $line .= sprintf ',"delivery":"%s","event":"%s","rule":"%s","attempt":%d}' . "\n",
        @ENV{map { "HOOKYARD_$_" } qw(DELIVERY_ID EVENT_ID RULE ATTEMPT)};
    syswrite($file, $line) == length $line or die "$ledger: $!";
    $file->sync or die "$ledger: $!";
}

$SIG{TERM} = sub { note("stopped"); exit 143 };
note("start");
sleep($work / 1000);
my $failed = $ENV{HOOKYARD_ATTEMPT} <= $failures;
note($failed ? "failed" : "done");
exit($failed ? 1 : 0);
