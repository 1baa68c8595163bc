// Command coredns is the cluster's DNS server with only the plugins that it
// needs: the stock build pulls in every cloud provider's client.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func init() {
	// The order is the order in which a query passes through the plugins.
	dnsserver.Directives = []string{"errors", "ready", "cache", "kubernetes"}
}

func main() { coremain.Run() }
