// Stands in for the module that finds servers to join in a cloud. It brings the software kits of a dozen clouds, half of
// all that would be compiled; the tests join nobody.
module github.com/hashicorp/go-discover

go 1.21
