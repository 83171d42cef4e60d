# A tiny HTTP server for the sample project: perl server.pl NAME
# Says who it is, on the port that wos gave it. One request per connection.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
my $name = $ARGV[0] // 'service';
my $port = $ENV{WOS_SERVICE_PORT} // die "WOS_SERVICE_PORT is not set: start me with `wos up`\n";
open my $branch_file, '<', 'branch.txt' or die "branch.txt: $!\n";
chomp(my $branch = <$branch_file> // '?');
my $server = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64, ReuseAddr => 1,
) or die "port $port: $!\n";
print "$name of $branch listens on port $port\n";
$SIG{PIPE} = 'IGNORE';

sub escaped {
    my ($text) = @_;
    my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;');
    $text =~ s/([&<>"])/$entity{$1}/g;
    return $text;
}

sub answer {
    my ($client) = @_;
    my $request = <$client> // '';
    my %header;
    while (defined(my $line = <$client>)) {
        last if $line =~ /^\r?\n$/;
        $header{lc $1} = $2 if $line =~ /^([^:\s]+):\s*(.*?)\s*$/;
    }
    my $host = escaped($header{host} // '');
    my $scheme = escaped($header{'x-forwarded-proto'} // 'http');
    my $other = escaped($ENV{API_URL} // '');
    my $link = $other eq '' ? '' : qq(<p>The api of this worktree: <a href="$other">$other</a></p>);
    my $body = "<!doctype html><meta charset=utf-8><title>$branch $name</title>"
        . "<h1>$name of the worktree $branch</h1><p>You asked for $scheme://$host</p>$link\n";
    my ($method, $target) = split ' ', $request;
    print "$method $target\n" if defined $target;
    print $client "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: ",
        length $body, "\r\nConnection: close\r\n\r\n", ($method // '') eq 'HEAD' ? '' : $body;
}

# A process per connection: one that says nothing keeps nobody waiting.
$SIG{CHLD} = 'IGNORE';
while (1) {
    my $client = $server->accept or next;
    my $child = fork;
    if (defined $child && $child == 0) {
        alarm 30;
        answer($client);
        exit 0;
    }
    close $client;
}
