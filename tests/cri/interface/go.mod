module interface

go 1.19

require k8s.io/cri-api v0.37.2
