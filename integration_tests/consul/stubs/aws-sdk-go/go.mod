// Stands in for the software kit of AWS. Consul signs certificates of its service mesh with it where it is told to; the
// tests have no mesh.
module github.com/aws/aws-sdk-go

go 1.21
